"""What was said before the prompt: a system prompt, and earlier turns that all columns share or that are their own.

before(controls)        # (("system", …), ("user", …), ("assistant", …)), as `explorer.stream` takes it
own_before(controls)    # the same by column, where each goes on from its own answers; else {}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st

from explorer.errors import ExplorerError
from explorer.models.prompting import MAX_PROMPT_CHARS
from explorer.neurons.sets import NeuronSet
from explorer.serve.generation import CONTROL, SHOWN, Generation, Request
from explorer.ui.patch_lab.answer_cards import heading, shown_sample, title
from explorer.ui.patch_lab.choice import Controls, control_of
from explorer.ui.patch_lab.controls import take_prompt

_SAID, _FROM = "patch-said", "patch-continue-from"
_OWN = "own"
MOST_TURNS = 12
"""Turns that are kept, prompts and answers together."""

Said = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Conversation:
    """The earlier turns of a session.

    Attributes:
        turns: that all columns share; of the patched column where each has its own.
        own: by column, where each goes on from its own answers; {} where they share them.
        direction: in which these columns answered.
    """

    turns: Said = ()
    own: Mapping[str, Said] = field(default_factory=dict)
    direction: str = "restore"


def conversation() -> Conversation:
    """The session's."""
    found: Conversation = st.session_state.get(_SAID, Conversation())
    return found


def before(controls: Controls) -> Said:
    """All that was said before the prompt, the system prompt first; in the patched column where each has its own."""
    return _system(controls) + conversation().turns


def own_before(controls: Controls) -> dict[str, Said]:
    """The same by column, where each goes on from its own answers; {} where all columns share it."""
    return {name: _system(controls) + said for name, said in conversation().own.items()}


def said_in(controls: Controls) -> dict[str, Said]:
    """What was said before the prompt in every column."""
    return dict.fromkeys(SHOWN, before(controls)) | own_before(controls)


def _system(controls: Controls) -> Said:
    system = controls.system.strip()
    return (("system", system),) if system else ()


def check_own(controls: Controls) -> None:
    """See that the columns are those whose conversations are kept.

    Raises:
        ExplorerError: they are those of the other direction.
    """
    said = conversation()
    if said.own and said.direction != controls.direction:
        raise ExplorerError(
            f"The conversation goes on from each column's own answers in the direction “{said.direction}”; patch that "
            "way, or start over."
        )


def control_here(controls: Controls, ns: NeuronSet) -> tuple[NeuronSet | None, str]:
    """The random control, see `choice.control_of`; none where the conversation is the columns' own and lacks it."""
    own = conversation().own
    if controls.control and own and CONTROL not in own:
        return None, "It has no answers of its own in this conversation; start over to have it from the first turn."
    return control_of(controls, ns)


def set_turns(said: Sequence[Sequence[str]], own: Mapping[str, Sequence[Sequence[str]]], direction: str) -> None:
    """Take the turns of kept answers; their system prompt is a setting."""
    by_column = {name: _turns(turns) for name, turns in own.items()}
    st.session_state[_SAID] = Conversation(_turns(said), by_column, direction)


def _turns(said: Sequence[Sequence[str]]) -> Said:
    return tuple((role, text) for role, text in said if role != "system")


def show_turns() -> None:
    """The earlier turns, and a way to start over; nothing where there are none."""
    said = conversation()
    if not said.turns:
        return
    with st.container(border=True, key="conversation"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            number = f"{len(said.turns) // 2} turn{'s' * (len(said.turns) != 2)}"
            whose = "each column's own answers" if said.own else "the same for every column"
            st.markdown(f"**Said before** ({number}, {whose})")
            st.button("Start over", icon=":material/restart_alt:", type="tertiary", key="start-over", on_click=_forget)
        if not said.own:
            _show_messages(said.turns)
            return
        for name, place in zip(said.own, st.columns(len(said.own), gap="small"), strict=True):
            with place:
                st.markdown(heading(name, said.direction))
                _show_messages(said.own[name])


def _show_messages(said: Said) -> None:
    for role, text in said:
        with st.chat_message(role):
            st.text(text)


def show_continue(generation: Generation | None) -> None:
    """Go on from one of the answers, or in each column from its own; nothing while there are none.

    Args:
        generation: whose answers are shown.
    """
    if generation is None or generation.active:
        return
    answers = generation.samples[shown_sample(len(generation.samples))]
    names = [name for name in generation.request.columns if answers[name].text.strip()]
    if not names or len(conversation().turns) >= MOST_TURNS:
        return
    direction = generation.request.direction
    choices = [*names, *([_OWN] if len(names) == len(answers) else [])]
    with st.container(horizontal=True, vertical_alignment="bottom", key="continue"):
        chosen = st.selectbox(
            "Go on from the answer of",
            choices,
            format_func=lambda name: "Each column: its own" if name == _OWN else title(name, direction),
            key=_FROM,
            width=240,
            help="From one answer, all columns read the same conversation and differ by the patch alone. From its own, "
            "each column reads what it wrote itself, as in a conversation with that model.",
        )
        st.button(
            "Continue the conversation",
            icon=":material/forum:",
            key="continue-conversation",
            on_click=_go_on,
            args=(generation, chosen),
        )


def _go_on(generation: Generation, chosen: str) -> None:
    asked = generation.request
    answers = generation.samples[shown_sample(len(generation.samples))]
    said = {
        name: (*_turns(asked.before_in(name)), *_turn(asked, column.text))
        for name, column in answers.items()
        if column.text.strip()
    }
    own = said if chosen == _OWN else {}
    st.session_state[_SAID] = Conversation(said["patched" if own else chosen], own, asked.direction)
    take_prompt("")


def _turn(asked: Request, answer: str) -> Said:
    return ("user", asked.prompt), ("assistant", answer.strip()[:MAX_PROMPT_CHARS])


def _forget() -> None:
    st.session_state.pop(_SAID, None)
