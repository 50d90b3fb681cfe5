"""Answers that a link brings: kept on the server, shown as they were, until new ones are generated."""

from collections.abc import Sequence

import streamlit as st

from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet
from explorer.serve.history import Record, columns_of, set_digest
from explorer.serve.snapshots import load
from explorer.ui.patch_lab.answer_cards import Shown
from explorer.ui.patch_lab.choice import Controls
from explorer.ui.patch_lab.controls import load_settings
from explorer.ui.patch_lab.conversation_view import before, own_before, set_turns
from explorer.ui.patch_lab.share_view import ANSWERS
from explorer.ui.plain import plain

_NAME, _RECORD = "patch-linked", "patch-linked-answers"


def follow_link(rankings: Sequence[str]) -> None:
    """Load the answers that the address names, and their settings, once; a sentence where they are gone."""
    name = st.query_params.get(ANSWERS)
    if name is None:
        return
    if st.session_state.get(_NAME) != name:
        st.session_state[_NAME], st.session_state[_RECORD] = name, None
        try:
            found = load(name)
        except ExplorerError as problem:
            st.session_state[_RECORD] = str(problem)
        else:
            st.session_state[_RECORD] = found
            load_settings(found.settings, rankings)
            set_turns(found.before, found.own, found.direction)
    said = st.session_state[_RECORD]
    if isinstance(said, str):
        st.warning(plain(said), icon=":material/link_off:")


def linked() -> Record | None:
    """The answers of the link, if it brought any."""
    found = st.session_state.get(_RECORD)
    return found if isinstance(found, Record) and st.query_params.get(ANSWERS) else None


def forget_link() -> None:
    """New answers take the place of the link's."""
    st.query_params.pop(ANSWERS, None)
    for key in (_NAME, _RECORD):
        st.session_state.pop(key, None)


def shown_of(kept: Record) -> Shown:
    """The answers of a record as the cards take them."""
    first, *others = (columns_of(kept, sample) for sample in range(len(kept.samples)))
    return Shown(
        kept.prompt,
        first,
        kept.max_new_tokens,
        direction=kept.direction,
        neurons=kept.neurons,
        others=others,
        decoding=kept.decoding,
    )


def changed_since(kept: Record, controls: Controls, neurons: NeuronSet | None) -> bool:
    """Whether the controls ask for other answers than these."""
    if neurons is None or set_digest(neurons) != kept.neurons_sha256:
        return True
    if [list(turn) for turn in before(controls)] != kept.before:
        return True
    own = {name: [list(turn) for turn in said] for name, said in own_before(controls).items() if name in kept.own}
    if own != kept.own or (controls.sampling, controls.answers_each) != (kept.sampling, len(kept.samples)):
        return True
    asked = (kept.prompt, kept.max_new_tokens, kept.direction, kept.strength, kept.positions)
    return asked != (
        controls.prompt.strip(),
        controls.tokens,
        controls.direction,
        controls.strength,
        controls.where,
    )


def show_origin(kept: Record, changed: bool) -> None:
    """Where the answers that are shown come from, and whether the settings have changed since."""
    said = f"Answers of {kept.time[:10]} ({kept.decoding}), kept with this link; Generate writes new ones."
    if changed:
        said = f":orange-badge[:material/history: stale] {said} The settings have changed since."
    st.caption(said)
