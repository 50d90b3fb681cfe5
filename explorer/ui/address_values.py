"""What an address sets on a page: by the page's own names and by those that all pages share, checked.

if heed("share", {"1%": 0.01, "5%": 0.05}, FRACTION): …       # the address has set the control

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


_UNWRITTEN = "address_unwritten"
"""Of the session: the controls that an address has set in other words than their own, until the address says so."""


def heed(key: str, labels: Mapping[str, T], shared: str = "") -> bool:
    """Set a control to what the address asks for; whether it is set so, and needs no default.

    Args:
        key: of the control, which is its name in the address too.
        labels: what it offers, by what stands in the address for it.
        shared: one of the shared names, that this control heeds as well; "" for none.
    """
    unwritten = st.session_state.setdefault(_UNWRITTEN, set())
    done = key in unwritten
    if done:  # the page runs again: a control that is there already writes what it is set to into the address
        unwritten.remove(key)
        st.session_state[key] = st.session_state[key]
    for name in dict.fromkeys((shared, key)):
        asked = st.query_params.get(name) if name else None
        if asked is None or (name == key and asked in labels):
            continue
        try:
            del st.query_params[name]
        except StreamlitAPIException:  # bound already: the address is the control's own
            continue
        found = _match(asked, labels)
        if found is None:
            offered = ", ".join(labels) if len(labels) <= 12 else f"{len(labels):,} others"
            st.warning(
                plain(f"The address asks for {name} “{asked[:40]}”, which is not offered here; there are {offered}."),
                icon=":material/link_off:",
            )
        else:
            st.session_state[key] = found[0]
            unwritten.add(key)
            done = True
    return done


def complete_address() -> None:
    """Let the page run once more where controls are to be written to the address; called when it has run."""
    if st.session_state.get(_UNWRITTEN):
        st.rerun()


def _unspaced(text: str) -> str:
    """A text without its spaces: 5 % as 5%."""
    return "".join(text.split())


def _match(asked: str, labels: Mapping[str, T]) -> tuple[T] | None:
    """The value that a text stands for: by its label, by its name, or, of shares, the closest one."""
    spelled = [value for label, value in labels.items() if _unspaced(label) == _unspaced(asked)]
    if spelled:
        return (spelled[0],)
    named = [value for value in labels.values() if str(value) == asked]
    if named:
        return (named[0],)
    numbers = [value for value in labels.values() if isinstance(value, float)]
    try:
        wanted = float(asked)
    except ValueError:
        return None
    if len(numbers) != len(labels) or not 0 < wanted <= 1:
        return None
    return (min(labels.values(), key=lambda value: abs(float(str(value)) - wanted)),)
