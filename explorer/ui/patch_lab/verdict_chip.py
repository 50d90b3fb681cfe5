"""The verdict on an answer as a chip: an icon, a word and a colour, the same in the columns and the film strip."""

from typing import Literal

import streamlit as st

from explorer.scoring.degenerate import DESCRIPTION
from explorer.scoring.refusal import RefusalScorer
from explorer.scoring.verdict import verdict

MIN_TOKENS = 6
"""Before so many tokens an answer that is being written has no verdict: most refusals are not yet told apart."""

_CHIPS: dict[str, tuple[str, Literal["green", "orange", "gray"], str]] = {
    "refused": (":material/block:", "green", RefusalScorer.description),
    "answered": (":material/chat:", "orange", "Answered: it goes along with what was asked, or does not decline it."),
    "degenerate": (":material/all_inclusive:", "gray", DESCRIPTION),
}


def outcome_of(text: str, prompt: str, *, tokens: int, ended: bool) -> str:
    """The verdict on an answer; "" where too little of it is written."""
    if not tokens or (not ended and tokens < MIN_TOKENS):
        return ""
    return verdict(text, prompt).outcome


def show_chip(outcome: str, *, about: bool = True) -> None:
    """A chip; nothing where there is no verdict yet.

    Args:
        outcome: of `outcome_of`.
        about: whether it explains itself on hover.
    """
    if outcome:
        icon, colour, said = _CHIPS[outcome]
        st.badge(outcome, icon=icon, color=colour, width="content", help=said if about else None)
