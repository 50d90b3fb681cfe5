"""A form that writes a pair file."""

import streamlit as st

from explorer.errors import ExplorerError
from explorer.models.pair_file import write_pair_file
from explorer.models.pair_spec import DTYPES, OF_M1, OF_M2, OWN, QUANTISATIONS, TULU, ModelSpec
from explorer.paths import pairs_folder
from explorer.ui.plain import show_problem


def show_form() -> str | None:
    """Fields for both models; the name of the file that was just written, or None."""
    with st.form("pair_form"):
        name = st.text_input("Name", key="pair_name", help="Letters, digits, - and _.")
        columns = st.columns(2)
        models = {}
        for column, key, about in zip(
            columns, ("m1", "m2"), ("M1, the unaligned model", "M2, the aligned model"), strict=True
        ):
            with column:
                base = st.text_input(
                    f"{about}: base", key=f"{key}_base", help="A hub id (org/name@revision), or a folder here."
                )
                adapters = st.text_area(
                    "Adapters, one a line, in order",
                    key=f"{key}_adapters",
                    help="PEFT folders or hub ids: (IA)³ or LoRA.",
                    height=90,
                )
                lines = tuple(line.strip() for line in adapters.splitlines() if line.strip())
                models[key] = ModelSpec(base.strip(), lines)
        with st.container(horizontal=True):
            dtype = st.selectbox("Precision", DTYPES, key="pair_dtype")
            quantisation = st.selectbox(
                "Quantisation", QUANTISATIONS, key="pair_quantisation", format_func=lambda q: q or "none"
            )
            device = st.text_input("Device", "cpu", key="pair_device", help="cpu, cuda:0, or auto to spread layers.")
            template = st.selectbox("Chat template", (OWN, OF_M1, OF_M2, TULU), key="pair_template")
        pressed = st.form_submit_button("Write the pair file", icon=":material/save:")
    if not pressed:
        return None
    settings = {"dtype": dtype, "device": device.strip(), "quantisation": quantisation, "chat_template": template}
    try:
        for key, model in models.items():
            if not model.base:
                raise ExplorerError(f"The base of {key.upper()} is empty; give a hub id or a folder.")
        path = write_pair_file(name.strip(), settings, models)
    except ExplorerError as problem:
        show_problem(str(problem))
        return None
    st.success(f"Written to {path.relative_to(pairs_folder().parent)}.", icon=":material/check:")
    return path.stem
