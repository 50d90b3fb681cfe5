"""Neurons: the ranking as a table, two rankings side by side, where they lie in the layers, one neuron's detail."""

import streamlit as st

from explorer.charts import scores as charts
from explorer.charts.labels import ranking_about, ranking_label
from explorer.report import ranking_scores as words
from explorer.report.facts import nearest
from explorer.report.neuron_query import select
from explorer.report.ranking_names import main_first
from explorer.report.ranking_pairs import sizes
from explorer.ui.address_values import RANKING, heed
from explorer.ui.current_run import change_scores, current_run, explained, has_rankings
from explorer.ui.derived import layer_shares, score_cells
from explorer.ui.neurons.comparison import show_both, show_one_by_one
from explorer.ui.neurons.detail import show_detail
from explorer.ui.neurons.ranked_list import LIMIT, chosen_neuron, show_list, show_query
from explorer.ui.plain import plain
from explorer.ui.widgets import caption_and_csv, choose_fraction, show_chart

run = current_run()
heading = st.empty()
heading.title("Neurons")
if not has_rankings(run):
    st.stop()

heed("rank_by", {ranking_label(name): name for name in main_first(run)}, RANKING)
left, right = st.columns([1, 2], vertical_alignment="bottom")
ranking = left.selectbox("Ranking", main_first(run), format_func=ranking_label, key="rank_by", bind="query-params")
changes = change_scores(run, ranking)
right.caption(
    f"{len(changes.order):,} neurons of {changes.n_layers} layers × {changes.n_neurons:,}, {words.about(changes)} "
    f"{plain(ranking_about(run.manifest['rankings'][ranking]))}"
)
heading.title(words.heading(changes))

as_list, as_both, one_by_one, as_scores, by_layer, as_map = st.tabs(
    ["List", "Both rankings", "One by one", "Distribution", "Layers", "Map"], key="view", bind="query-params"
)
if as_list.open:
    with as_list, explained():
        query = show_query(changes)
        show_list(run, ranking, changes, select(changes, query, LIMIT))
if as_both.open:
    with as_both:
        show_both(run, ranking)
if one_by_one.open:
    with one_by_one:
        show_one_by_one(run)
if as_scores.open:
    with as_scores:
        histogram = charts.score_histogram(changes.scores)
        if histogram.empty:
            st.info("No score is above 0: the two models do the same.")
        else:
            marks = charts.score_thresholds(changes)
            chart = charts.histogram_chart(histogram, marks, title=words.axis(changes))
            show_chart(chart, "How many neurons have which score, log axes")
            about = "Both axes are logarithmic. Dashed: the lowest score in the top 1, 5 and 10 % of all neurons."
            about += words.negative_words(changes)
            caption_and_csv(about, f"{run.name}-{ranking}-histogram.csv", lambda: histogram, "histogram_csv")
if by_layer.open:
    with by_layer:
        shares = layer_shares(run, ranking)
        show_chart(charts.layer_heatmap(shares, run.n_layers), "Share of each top set that lies in each layer")
        top = choose_fraction("Top set in the bars", sizes(run), nearest(list(sizes(run)), 0.05), "bars")
        show_chart(charts.layer_bars(shares, top), "Neurons of one top set in each layer")
        about = "Dashed: an even spread over the layers."
        caption_and_csv(about, f"{run.name}-{ranking}-layers.csv", lambda: shares, "layers_csv")
if as_map.open:
    with as_map:
        cells = score_cells(run, ranking)
        show_chart(charts.map_chart(cells), "The highest score in each part of each layer")
        width = int(cells["last"].iloc[0] - cells["first"].iloc[0] + 1)
        about = (
            f"Each cell stands for {width:,} neighbouring neurons of a layer and shows the highest score among them."
        )
        caption_and_csv(about, f"{run.name}-{ranking}-map.csv", lambda: cells, "map_csv")

st.header("One neuron")
with explained():
    layer, neuron = chosen_neuron(changes)
    show_detail(run, ranking, layer, neuron)
