"""What this is, for somebody who sees it for the first time."""

import streamlit as st

_STEPS = (
    (
        ":material/edit_note: 1. Answer",
        "A chat model without safety training (**M1**) answers prompts. Its safety-trained sibling (**M2**) reads the "
        "same prompts and answers.",
    ),
    (
        ":material/difference: 2. Contrast",
        "For every neuron: how far are its activations in the two models apart, word by word? The root mean square is "
        "its **change score**.",
    ),
    (
        ":material/swap_horiz: 3. Patch",
        "While M1 writes a new answer, the highest-ranked neurons get M2's activations at every word, on the text "
        "written so far. All else stays M1.",
    ),
    (
        ":material/balance: 4. Compare",
        "Does patched M1 refuse as M2 does? As many **random neurons of the same layers** are the control: without "
        "them the result means little.",
    ),
)


def show_method() -> None:
    """The method in four steps."""
    for place, (title, text) in zip(st.columns(len(_STEPS)), _STEPS, strict=True):
        with place.container(border=True, height="stretch"):
            st.markdown(f"**{title}**")
            st.markdown(text)
    st.caption(
        "A neuron is one of the numbers that a layer's MLP passes to its last matrix (down projection). The method is "
        "that of [Chen et al.](https://arxiv.org/abs/2406.14144)"
    )
