"""What was said before the prompt: a system prompt, and earlier turns that all columns share.

before(controls)        # (("system", …), ("user", …), ("assistant", …)), as `explorer.stream` takes it
"""

from collections.abc import Sequence

import streamlit as st

from explorer.models.prompting import MAX_PROMPT_CHARS
from explorer.serve.generation import Generation
from explorer.ui.patch_lab.answer_cards import title
from explorer.ui.patch_lab.choice import Controls
from explorer.ui.patch_lab.controls import take_prompt

_TURNS, _FROM = "patch-turns", "patch-continue-from"
MOST_TURNS = 12
"""Turns that are kept, prompts and answers together."""

Said = tuple[tuple[str, str], ...]


def turns() -> Said:
    """The earlier turns of the session's conversation."""
    return tuple(st.session_state.get(_TURNS, ()))


def before(controls: Controls) -> Said:
    """All that was said before the prompt, the system prompt first."""
    system = controls.system.strip()
    return ((("system", system),) if system else ()) + turns()


def set_turns(said: Sequence[Sequence[str]]) -> None:
    """Take the turns of kept answers; their system prompt is a setting."""
    st.session_state[_TURNS] = tuple((role, text) for role, text in said if role != "system")


def show_turns() -> None:
    """The earlier turns, and a way to start over; nothing where there are none."""
    said = turns()
    if not said:
        return
    with st.container(border=True, key="conversation"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**Said before** ({len(said) // 2} turn{'s' * (len(said) != 2)}, the same for every column)")
            st.button("Start over", icon=":material/restart_alt:", type="tertiary", key="start-over", on_click=_forget)
        for role, text in said:
            with st.chat_message(role):
                st.text(text)


def show_continue(generation: Generation | None) -> None:
    """Go on with the conversation from one of the answers; nothing while there are none.

    Args:
        generation: whose answers are shown.
    """
    if generation is None or generation.active:
        return
    names = [name for name in generation.request.columns if generation.columns[name].text.strip()]
    if not names or len(turns()) >= MOST_TURNS:
        return
    direction = generation.request.direction
    with st.container(horizontal=True, vertical_alignment="bottom", key="continue"):
        chosen = st.selectbox(
            "Go on from the answer of",
            names,
            format_func=lambda name: title(name, direction),
            key=_FROM,
            width=240,
            help="All columns then read the same conversation: they differ by the patch alone.",
        )
        st.button(
            "Continue the conversation",
            icon=":material/forum:",
            key="continue-conversation",
            on_click=_go_on,
            args=(generation, chosen),
        )


def _go_on(generation: Generation, name: str) -> None:
    text = generation.columns[name].text.strip()[:MAX_PROMPT_CHARS]
    st.session_state[_TURNS] = (*turns(), ("user", generation.request.prompt), ("assistant", text))
    take_prompt("")


def _forget() -> None:
    st.session_state[_TURNS] = ()
