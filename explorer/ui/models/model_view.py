"""What the Models page shows of a pair: what its file says, how far it is loaded, what it takes."""

import pandas as pd
import streamlit as st

from explorer.models.pair_file import ModelSpec, PairSpec
from explorer.paths import short_path
from explorer.serve.loading import SharedPair
from explorer.serve.pairs import PAIRS, PairService
from explorer.ui.plain import show_problem

KINDS = {
    "decoder": "decoder",
    "encoder-decoder": "encoder–decoder; the encoder's layers come first",
    "encoder": "classifier; it writes no text",
}


def show_spec(spec: PairSpec) -> None:
    """What the pair file says, as a table."""
    rows = [
        ("M1", _model(spec.m1)),
        ("M2", _model(spec.m2)),
        ("Precision", spec.quantisation or spec.dtype),
        ("Device", str(spec.device_map or spec.device)),
        ("Chat template", spec.chat_template),
        *(("Template argument", f"{name} = {value}") for name, value in spec.template_arguments.items()),
        ("File", short_path(str(spec.source))),
    ]
    st.dataframe(pd.DataFrame(rows, columns=["Setting", "Value"]), hide_index=True, width="stretch", key="spec")


def show_loaded(shared: SharedPair) -> None:
    """Size, place and memory of a pair that is there."""
    pair = shared.result()
    with st.grid(4):
        st.metric("Layers", f"{pair.n_layers:,}", border=True)
        st.metric("Neurons", f"{pair.total_neurons:,}", border=True, help=f"{pair.n_neurons:,} in each layer.")
        st.metric("Memory of the weights", _bytes(pair.memory_bytes), border=True)
        st.metric("Computes in", pair.dtype, border=True)
    weights = "one set of weights serves both models" if pair.shared else "two models in lockstep"
    st.caption(f"On {', '.join(pair.devices)}; {weights}; {KINDS[pair.kind]}.")
    for note in pair.reading.notes:
        st.caption(note)


@st.fragment(run_every=0.5)
def show_progress(shared: SharedPair) -> None:
    """How far the loading is, with a button that gives it up; the page goes on by itself when it has ended."""
    if not shared.loading:
        st.rerun()
    what, share = shared.progress
    st.progress(share, text=what)
    if st.button("Cancel", icon=":material/close:", key="cancel_loading"):
        if PAIRS.cancel(shared.name):
            st.rerun()
        st.caption("Somebody waits for these models, so they go on loading.")


def show_release(service: PairService) -> None:
    """A button that lets go of the models, while nobody works with them."""
    if service.busy:
        st.caption("Somebody works with these models now; they can be released when that is done.")
    st.button(
        "Release its memory",
        icon=":material/delete:",
        key="release",
        disabled=service.busy,
        on_click=_release,
        args=(service.pair.name,),
    )


def _release(name: str) -> None:
    PAIRS.release(name)


def show_failure(shared: SharedPair) -> None:
    """One sentence where the last load failed or was cancelled."""
    if shared.problem:
        show_problem(shared.problem)


def _model(model: ModelSpec) -> str:
    base = f"{model.base}@{model.revision}" if model.revision else model.base
    return " + ".join(short_path(str(part)) for part in (base, *model.adapters))


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
