"""All neurons of the model, those that are patched lit up: it follows the slider, and a part of them can be patched."""

import streamlit as st

from explorer.charts.neuron_map import map_caption, neuron_map
from explorer.runs.reader import Run
from explorer.ui.contrast import figure_in_theme
from explorer.ui.current_run import change_scores
from explorer.ui.neuron_selection import HINT, chosen_neurons, offer_chosen

_KEY = "neuron-map"


@st.fragment
def show_map(run: Run, ranking: str, fraction: float) -> None:
    """The map of a ranking's neurons with its top share lit; what is chosen in it leads to the Patch lab."""
    ranked = change_scores(run, ranking)
    lit = ranked.top(fraction=fraction)
    said = map_caption(ranked, lit)
    st.plotly_chart(
        figure_in_theme(neuron_map(ranked, lit)),
        key=_KEY,
        on_select="rerun",
        selection_mode=("box", "lasso"),
        config={"displaylogo": False},
        alt=f"Map of the model, a row for each layer. {said}",
    )
    now = set(
        zip(lit.layers.tolist(), lit.neurons.tolist(), strict=True)
    )  # the choice may be of another slider's place
    chosen = [neuron for neuron in chosen_neurons(_KEY) if neuron in now]
    chosen.sort(key=lambda neuron: int(ranked.ranks[neuron]))
    st.caption(said if chosen else f"{said} {HINT}")
    if chosen:
        offer_chosen(chosen, "map_to_lab", ranking=ranking)
