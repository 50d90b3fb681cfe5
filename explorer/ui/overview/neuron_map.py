"""All neurons of the model, those that are patched lit up: it follows the slider."""

import streamlit as st

from explorer.charts.neuron_map import map_caption, neuron_map
from explorer.runs.reader import Run
from explorer.ui.current_run import change_scores


def show_map(run: Run, ranking: str, fraction: float) -> None:
    """The map of a ranking's neurons with its top share lit."""
    ranked = change_scores(run, ranking)
    lit = ranked.top(fraction=fraction)
    st.plotly_chart(neuron_map(ranked, lit), key="neuron-map", config={"displaylogo": False})
    st.caption(map_caption(ranked, lit))
