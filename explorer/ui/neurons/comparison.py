"""The Neurons page's comparison of two rankings, and its top neurons patched one by one."""

import pandas as pd
import streamlit as st

from explorer.charts.labels import ranking_label
from explorer.charts.matrix import interval_chart
from explorer.charts.ranks import layers_chart, rank_figure
from explorer.charts.spread import spread_chart
from explorer.report import single_neurons as singles
from explorer.report.facts import nearest
from explorer.report.ranking_names import counterpart, main_first, ranking_title
from explorer.report.ranking_pairs import sizes
from explorer.runs.reader import Run
from explorer.studies.single_neurons import BESIDE, summary
from explorer.ui.contrast import figure_in_theme
from explorer.ui.current_run import explained, table
from explorer.ui.derived import layer_shares_of, rank_points_of
from explorer.ui.neuron_selection import HINT, chosen_neurons, offer_chosen
from explorer.ui.neurons.ranked_list import NEURON
from explorer.ui.study_page import has_table, missing, pick
from explorer.ui.widgets import caption_and_csv, choose_fraction, say, show_chart

_TABLE = "single_neurons"


def show_both(run: Run, ranking: str) -> None:
    """Where neurons stand in this ranking and in another, and where the top sets of both lie.

    Args:
        run: the run.
        ranking: the one that the page shows.
    """
    others = [name for name in main_first(run) if name != ranking]
    if not others:
        st.info("The run has one ranking; build it with a second under [rankings] to compare them.")
        return
    other_at, size_at = st.columns(2, gap="large")
    with other_at:
        default = counterpart(ranking, run.manifest["rankings"])
        other = pick("Beside it", others, "beside", ranking_label, default=default)
    with size_at:
        top = choose_fraction("Top sets", sizes(run), nearest(list(sizes(run)), 0.01), "both_top")
    with explained():
        points = rank_points_of(run, ranking, other, top)
    x_label, y_label = (ranking_title(name, run.manifest["rankings"]) for name in (ranking, other))
    key = f"ranks_{ranking}_{other}"
    st.plotly_chart(
        figure_in_theme(rank_figure(points, x_label, y_label)),
        key=key,
        on_select=lambda: _open_point(key),
        selection_mode=("points", "box", "lasso"),
        width="stretch",
        alt=f"The rank of neurons in {x_label} against their rank in {y_label}",
    )
    parts = points["part"].value_counts()
    about = (
        f"A point a neuron, {len(points):,} of {run.n_layers * run.n_neurons:,}; further to the left and further down "
        f"is higher in the ranking. {parts.get('both', 0):,} stand in the top set of both. Click one to open it below. "
        f"{HINT}"
    )
    caption_and_csv(about, f"{run.name}-{ranking}-{other}-ranks.csv", lambda: points, "ranks_csv")
    chosen = chosen_neurons(key)
    if len(chosen) > 1:
        offer_chosen(chosen, "ranks_to_lab", ranking=ranking)
    shares = layer_shares_of(run, {ranking: x_label, other: y_label}, top)
    show_chart(layers_chart(shares, top), "Neurons of both top sets in each layer")
    caption_and_csv(
        "Where the top sets of both rankings lie.",
        f"{run.name}-{ranking}-{other}-layers.csv",
        lambda: shares,
        "both_layers_csv",
    )


def show_one_by_one(run: Run) -> None:
    """What the top neurons do when each alone is patched, in both directions."""
    if not has_table(run, _TABLE):
        missing(run, "neurons patched one by one", f"[{_TABLE}]")
        return
    with explained():
        whole = table(run, _TABLE)
        others = table(run, BESIDE) if has_table(run, BESIDE) else None
    rankings = list(dict.fromkeys(whole["ranking"]))
    line = st.container(horizontal=True, vertical_alignment="bottom")
    with line:
        ranking = pick("Top neurons of", rankings, "single_ranking", ranking_label)
        rows = whole[whole["ranking"] == ranking]
        held = singles.measures_of(rows)
        measure = pick("What changes", held, "single_measure", lambda name: singles.MEASURES[name].label)
    beside = others[others["ranking"] == ranking] if others is not None else None
    say(summary(rows, beside), line)
    if beside is not None and not beside.empty:
        _show_beside(run, rows, beside)
    frame, said = singles.change_frame(rows, measure), singles.MEASURES[measure]
    chart = interval_chart(frame, said.axis, share=said.share).properties(height=60 + 30 * frame["row"].nunique())
    show_chart(chart, "What each of the top neurons changes when it alone is patched, in both directions")
    about = (
        "Dots are means over the prompts, bars 95 % intervals. The margin reads both models' own answers as given, so "
        "it moves even where no greedy answer changes."
    )
    caption_and_csv(about, f"{run.name}-single-neurons.csv", lambda: rows, "singles_csv")


def _show_beside(run: Run, rows: pd.DataFrame, beside: pd.DataFrame) -> None:
    """The margins of the top neurons next to those of random neurons and of other rankings' top."""
    frame = singles.spread_frame(rows, beside)
    chart = spread_chart(frame, singles.MEASURES["margin"].axis)
    show_chart(chart, "The margins of single neurons, next to those of random neurons and of other rankings")
    about = (
        "A tick a neuron, patched alone; diamonds are the means of each set. Any step towards M2 may raise its answer."
    )
    caption_and_csv(about, f"{run.name}-single-neurons-beside.csv", lambda: frame, "beside_csv")


def _open_point(key: str) -> None:
    """Put the neuron of the clicked point into the field; several are a set, not a neuron to open."""
    chosen = chosen_neurons(key)
    if len(chosen) == 1:
        st.session_state[NEURON] = "{}.{}".format(*chosen[0])
