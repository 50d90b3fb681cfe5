"""Two rankings beside each other on the Overlap page: the neurons they share, beside chance, by size and by layer."""

import pandas as pd
import streamlit as st

from explorer.charts import overlap as charts
from explorer.charts.labels import percent, ranking_label
from explorer.charts.scores import layer_heatmap
from explorer.report.facts import likeness_sentence, nearest
from explorer.report.ranking_names import ATTRIBUTION, main_method, rankings_by_method
from explorer.report.ranking_pairs import sizes
from explorer.report.sharing import default_rankings, groups_of, same_model_rows, sharing_sentence
from explorer.runs.columns import BY_CHANGE
from explorer.runs.reader import Run
from explorer.studies.words import usual_fraction
from explorer.ui import derived
from explorer.ui.current_run import table
from explorer.ui.lab_links import lab_link
from explorer.ui.method_choice import choose_among
from explorer.ui.overlap.controls import choose_colour, choose_rankings, show_matrix
from explorer.ui.study_page import has_table
from explorer.ui.typeset import SHARE, Typeset, decimals
from explorer.ui.widgets import caption_and_csv, choose_fraction, show_chart

_TO_LAB = {
    "shared": "Patch what both hold",
    "without": "Patch what only A holds",
    "either": "Patch what either holds",
}
"""Parts of two top sets, by the Patch lab's names."""


def show_likeness(run: Run) -> None:
    """The two rankings that are chosen, among all of the run."""
    fractions = sizes(run)
    usual = nearest(list(fractions), usual_fraction(main_method(run)))
    with st.grid(3):
        a, b = choose_rankings(run.rankings, default_rankings(run))
        top = choose_fraction("Size of both top sets (% of all neurons)", fractions, usual, "top")
    pairs = derived.ranking_pairs(run, top)
    seeds = table(run, "seeds") if has_table(run, "seeds") else None
    sharing = sharing_sentence(pairs, groups_of(run, seeds), top, run)
    if sharing:
        st.markdown(sharing)
    if len(run.rankings) > 1:
        _show_all(run, pairs, (a, b), top)
    _show_pair(run, pairs, (a, b), top)


def _show_all(run: Run, pairs: pd.DataFrame, chosen: tuple[str, str], top: float) -> None:
    """A matrix of the rankings of one method, or of all; and how like the two methods are for the same model."""
    by_method = rankings_by_method(run)
    methods = [m for m in (main_method(run), *by_method) if len(by_method[m]) > 1]
    several = [m for m in dict.fromkeys(methods) if m in (ATTRIBUTION, BY_CHANGE)]
    method, shown = "", pairs
    with st.container(horizontal=True, vertical_alignment="bottom"):
        colour = choose_colour()
        if len(several) > 1:
            method = choose_among(several)
            if st.toggle("All methods in one matrix", key="together", bind="query-params"):
                method = ""
    if method:
        names = by_method[method]
        shown = pairs[pairs["a"].isin(names) & pairs["b"].isin(names)]
    show_matrix(shown, colour, chosen, f"{run.name}-overlap-top-{top:g}.csv", method)
    rows = same_model_rows(pairs, run)
    if rows.empty:
        return
    st.markdown("**Change score against attribution, for the same model**")
    low, high = rows["Overlap"].min(), rows["Overlap"].max()
    shares = f"{percent(low)} to {percent(high)}" if low != high else percent(low)
    st.markdown(
        f"The top {percent(top)} by change score and by attribution of one and the same model share **{shares}** of "
        f"their {int(rows['of'].iloc[0]):,} neurons, where chance gives {percent(rows['Chance'].iloc[0])}."
    )
    numbers = Typeset(rows, {"Overlap": SHARE, "Chance": SHARE, "Spearman ρ": decimals(2)})
    st.dataframe(
        numbers.data,
        hide_index=True,
        alt="Overlap of the top sets by change score and by attribution, for each model",
        column_config={
            "Overlap": numbers.column("Overlap"),
            "Chance": numbers.column("Chance"),
            "Spearman ρ": numbers.column("Spearman ρ", help="Of the ranks of the neurons in both sets."),
        },
    )
    about = "Top sets of one size, by change score and by attribution, of each model on the same kind of prompts."
    caption_and_csv(about, f"{run.name}-both-methods-top-{top:g}.csv", lambda: rows, "both_csv")


def _show_likeness(pair: pd.Series, top: float) -> None:
    """How much the top sets of two rankings share, in words and figures."""
    st.markdown(likeness_sentence(pair, top))
    with st.grid(4):
        st.metric("Overlap", percent(pair["overlap"]), border=True, help="Neurons in both top sets, as a share of k.")
        about = "What two random sets of k share on average: k / N, of the layers that take part in both rankings."
        st.metric("Chance", percent(pair["chance"]), border=True, help=about)
        st.metric("Enrichment over chance", f"{pair['ratio']:.1f}", border=True)
        rho = "undefined" if pair["spearman"] != pair["spearman"] else f"{pair['spearman']:.2f}"
        st.metric("Spearman ρ", rho, border=True, help="Of the ranks of the neurons in both sets; needs 3 of them.")


def _show_pair(run: Run, pairs: pd.DataFrame, chosen: tuple[str, str], top: float) -> None:
    """How much two rankings share, and their charts, one at a time."""
    a, b = chosen
    a_label, b_label = ranking_label(a), ranking_label(b)
    st.header(f"{a_label} against {b_label}")
    _show_likeness(pairs[(pairs["a"] == a) & (pairs["b"] == b)].iloc[0], top)
    if a == b:
        st.caption(
            "A and B are the same ranking, so equal top sets share everything; where they lie is still of interest."
        )
    else:
        with st.container(horizontal=True):
            for part, label in _TO_LAB.items():
                lab_link(label, ranking=a, part=part, fraction=top, **{"with": b})
    by_size, by_grid, by_layer, places = st.tabs(
        ["By size", "Size by size", "By layer", "Where A lies"], key="compare", bind="query-params"
    )
    if by_size.open:
        with by_size:
            curve = derived.likeness_by_size(run, a, b)
            show_chart(
                charts.by_size_chart(curve), f"Overlap of {a_label} and {b_label} against the size of the top sets"
            )
            about = "Any two sets overlap more as they grow: read the overlap beside chance, and ρ beside both."
            caption_and_csv(about, f"{run.name}-{a}-{b}-by-size.csv", lambda: curve, "curve_csv")
    if by_grid.open:
        with by_grid:
            grid = derived.likeness_grid(run, a, b)
            show_chart(
                charts.grid_chart(grid, a_label, b_label), "Overlap of every top set of A with every top set of B"
            )
            about = "Overlap as a share of the smaller set; chance, in the tooltip, is what random sets would share."
            caption_and_csv(about, f"{run.name}-{a}-{b}-grid.csv", lambda: grid, "grid_csv")
    if by_layer.open:
        with by_layer:
            layers = derived.likeness_by_layer(run, a, b)
            show_chart(
                charts.parts_chart(layers[layers["fraction"] == top]), "Neurons in A's top, B's top or both, by layer"
            )
            show_chart(charts.layer_grid_chart(layers), "How alike the top sets are in each layer, by size")
            about = f"Above: the top {percent(top)} of both. Below: neurons in both as a share of those in either."
            caption_and_csv(about, f"{run.name}-{a}-{b}-by-layer.csv", lambda: layers, "parts_csv")
    if places.open:
        with places:
            shares = derived.layer_shares(run, a)
            show_chart(layer_heatmap(shares, run.n_layers), f"Where the top sets of {a_label} lie, by layer and size")
            about = "Of each top set, the share that lies in each layer."
            caption_and_csv(about, f"{run.name}-{a}-layers.csv", lambda: shares, "places_csv")
