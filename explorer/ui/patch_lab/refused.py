"""Why a press of a button was refused: said until another press, or until what was asked for has changed.

A page is drawn again without anybody asking, as when a trace ends: a sentence that only the run of the press knew would
be gone before it was read.
"""

import streamlit as st

from explorer.ui.patch_lab.choice import Controls
from explorer.ui.patch_lab.conversation_view import said_in

_KEPT = "patch-refused"


def press() -> None:
    """A button was pressed: what was refused before is said no more."""
    st.session_state.pop(_KEPT, None)


def refuse(controls: Controls, sentence: str) -> None:
    """What was asked for with these controls is refused."""
    st.session_state[_KEPT] = (controls, said_in(controls), sentence)


def refusal(controls: Controls) -> str:
    """Why the last press was refused; "" where it was not, or where something else is set now."""
    *asked, sentence = st.session_state.get(_KEPT, (None, None, ""))
    return str(sentence) if asked == [controls, said_in(controls)] else ""
