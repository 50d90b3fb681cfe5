"""Ways from other pages to the Patch lab, with the neurons, the ranking and the direction that are looked at.

lab_link("Patch these neurons", ranking="attribution", fraction=0.01)
send_list("Patch the listed neurons", ["3.7", "12.345"], key="send")
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from explorer.ui.current_run import RUN

PAGE, ICON = "pages/patch_lab.py", ":material/science:"
_MOST = 2_000
"""Neurons that a list in the lab holds, at most."""
_SHORT = 40
"""Lists of up to so many neurons are a link; longer ones do not fit into an address."""


def lab_link(label: str, about: str | None = None, **controls: Any) -> None:
    """A link to the Patch lab with its controls set; the run goes along.

    Args:
        label: what it says.
        about: said on hover.
        controls: by the names of the lab's address: ranking, set, fraction, part, with, direction, neurons, …
    """
    query = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in controls.items()}
    if RUN in st.query_params:
        query[RUN] = st.query_params[RUN]
    st.page_link(PAGE, label=label, icon=ICON, help=about, query_params=query)


def send_list(label: str, neurons: Sequence[str], key: str, **controls: Any) -> None:
    """Bring a list of neurons to the lab: a link where it fits into an address, else a button.

    Args:
        label: what it says.
        neurons: as "layer.index", the first ones first; of more than `_MOST` those are taken.
        key: of the button.
        controls: others of the lab's.
    """
    if 0 < len(neurons) <= _SHORT:
        lab_link(label, set="list", neurons=", ".join(neurons), **controls)
        return
    about = f"The first {_MOST:,} of them." if len(neurons) > _MOST else None
    if st.button(label, icon=ICON, key=key, type="tertiary", help=about, disabled=not neurons):
        st.session_state["patch_kind"], st.session_state["patch_neurons"] = "list", ", ".join(neurons[:_MOST])
        for name, value in controls.items():
            st.session_state[f"patch_{name}"] = value
        st.switch_page(PAGE)
