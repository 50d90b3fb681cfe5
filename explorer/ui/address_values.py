"""What an address sets on a page: by the page's own names and by those that all pages share, checked.

heed("share", {"1%": 0.01, "5%": 0.05}, FRACTION)       # then the control with the key "share" is drawn

`?fraction=0.05`, `?ranking=attribution` and `?suite=redteam_eval` mean the same on every page, as in the Patch lab.
What a page does not offer is said in one sentence. What it does is then written to the address under the control's own
name and in its words, so that the address can be kept or sent on.
"""

from collections.abc import Mapping
from typing import TypeVar

import streamlit as st
from streamlit.errors import StreamlitAPIException

from explorer.ui.plain import plain

T = TypeVar("T")

FRACTION, RANKING, SUITE = "fraction", "ranking", "suite"
"""Names that all pages share: a share of all neurons, 0 to 1; a ranking; a prompt suite, by its name in the run."""


def heed(key: str, labels: Mapping[str, T], shared: str = "") -> bool:
    """Let a control take what the address asks for; called before it is drawn.

    The page begins anew where the address does not say it in the control's words yet: Streamlit reads an address only
    when a page begins.

    Args:
        key: of the control, which is its name in the address too.
        labels: what it offers, by what stands in the address for it.
        shared: one of the shared names, that this control heeds as well; "" for none.

    Returns:
        Whether the control, drawn before, was set to something else: it must be given no default then.
    """
    told = done = False
    for name in dict.fromkeys((shared, key)):
        asked = st.query_params.get(name) if name else None
        if asked is None or (name == key and asked in labels):
            continue
        try:
            del st.query_params[name]
        except StreamlitAPIException:  # bound already: the address is the control's own
            continue
        label = _match(asked, labels)
        if label is None:
            offered = ", ".join(labels) if len(labels) <= 12 else f"{len(labels):,} others"
            st.warning(
                plain(f"The address asks for {name} “{asked[:40]}”, which is not offered here; there are {offered}."),
                icon=":material/link_off:",
            )
            continue
        try:
            st.query_params[key] = label
            told = True
        except StreamlitAPIException:
            st.session_state[key] = labels[label]
            done = True
    if told:
        st.rerun()
    return done


def _unspaced(text: str) -> str:
    """A text without its spaces: 5 % as 5%."""
    return "".join(text.split())


def _match(asked: str, labels: Mapping[str, object]) -> str | None:
    """The label that a text stands for: by itself, by the name of what it offers, or, of shares, the closest one."""
    for label, value in labels.items():
        if _unspaced(label) == _unspaced(asked) or str(value) == asked:
            return label
    shares = {label: value for label, value in labels.items() if isinstance(value, float)}
    try:
        wanted = float(asked)
    except ValueError:
        return None
    if len(shares) != len(labels) or not 0 < wanted <= 1:
        return None
    return min(shares, key=lambda label: abs(shares[label] - wanted))
