"""The neurons that are patched now beside the preferences' rankings: which share them, and which part is patched."""

from collections.abc import Sequence

import streamlit as st

from explorer.charts.labels import ranking_label
from explorer.charts.patched_overlap import patched_overlap_chart
from explorer.neurons.overlap import shared_by_layer
from explorer.neurons.sets import NeuronSet
from explorer.report.patched_overlap import compared, layer_cells, sharing_words
from explorer.runs.reader import Run
from explorer.ui.current_run import change_scores
from explorer.ui.patch_lab.choice import PARTS, Controls
from explorer.ui.widgets import caption_and_csv, show_chart


def show_overlap(run: Run, controls: Controls, neurons: NeuronSet | None, rankings: Sequence[str]) -> None:
    """The heatmap of what is patched now, and the control that patches only what two rankings share, or leaves it out.

    Args:
        run: the run.
        controls: what is set now.
        neurons: the set that this chooses; None where there is none.
        rankings: the run's.
    """
    if len(rankings) < 2:
        return
    st.header("Which preferences share these neurons?")
    if neurons is not None and len(neurons):
        names = compared(run, controls.ranking, "top" if controls.kind == "top" and not controls.combines else "")
        cells = shared_by_layer(neurons, {name: change_scores(run, name) for name in names})
        st.markdown(sharing_words(cells, len(neurons)))
        drawn = layer_cells(cells)
        show_chart(
            patched_overlap_chart(drawn, run.n_layers),
            "For each layer and preference ranking, the share of the patched neurons that the ranking's top holds",
        )
        caption_and_csv(
            "Of the patched neurons of each layer, the share that stands among as many top neurons of the other "
            "ranking; after each name the same for all layers together. Layers without a patched neuron stay empty.",
            f"{run.name}-patched-overlap.csv",
            lambda: cells,
            "patched_overlap_csv",
        )
    if controls.kind == "top":
        _show_parts(rankings, controls)


def _show_parts(rankings: Sequence[str], controls: Controls) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Patch of the top neurons",
            list(PARTS),
            format_func=PARTS.__getitem__,
            required=True,
            key="patch_part",
            persist_state="session",
        )
        st.selectbox(
            "the top of as many of",
            [name for name in rankings if name != controls.ranking],
            format_func=ranking_label,
            key="patch_other",
            disabled=controls.part == "all",
            width=300,
            persist_state="session",
        )
