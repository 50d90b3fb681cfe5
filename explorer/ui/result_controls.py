"""The controls that choose a ranking and a direction, and with them what a page shows.

results = choose_results(run)         # of `report.results`
"""

from collections.abc import Collection, Mapping

import streamlit as st

from explorer.report.by import DIRECTIONS
from explorer.report.results import DIRECTION, RANKING, Results, directions_of, patched_rankings, results_of, titles
from explorer.runs.reader import Run
from explorer.ui.plain import plain


def choose_direction(run: Run, key: str = DIRECTION) -> str:
    """Which way activations are patched, out of those that the run measured."""
    words = {d: DIRECTIONS[d] for d in directions_of(run)}
    follow_address(key, words, "The run has no direction")
    return choose(key, "Direction", words)


def choose_ranking(run: Run, direction: str, key: str = RANKING, among: Collection[str] | None = None) -> str:
    """Whose top neurons are patched, out of those that the run patched in this direction, or of `among` only."""
    names = patched_rankings(run, direction)
    words = titles(run, names if among is None else [name for name in names if name in among])
    follow_address(key, words, f"In this direction the run {run.name} patched no ranking")
    return choose(key, "Ranking", words)


def choose_results(run: Run) -> Results:
    """The two controls, and the tables that they choose; the run must have patched something."""
    direction = choose_direction(run)
    return results_of(run, choose_ranking(run, direction), direction)


def choose(key: str, label: str, words: Mapping[str, str]) -> str:
    """A select box over names, shown in words and kept in the address; what is no longer offered is forgotten."""
    if key in st.session_state and st.session_state[key] not in words:
        del st.session_state[key]
    return st.selectbox(label, list(words), key=key, format_func=words.__getitem__, bind="query-params", width=320)


def follow_address(key: str, words: Mapping[str, str], none: str) -> None:
    """Let an address name an option by its name as well as in words, and say so where it names none.

    Args:
        key: of the control.
        words: names of the options, each in words.
        none: the beginning of the sentence where there is no such option.
    """
    asked = st.query_params.get(key)
    if asked is None or asked in words.values():
        return
    del st.query_params[key]  # the control writes it anew, in words
    if asked in words:
        st.session_state[key] = asked
        return
    st.warning(plain(f"{none} “{asked[:40]}”; it has {', '.join(words)}."), icon=":material/link_off:")
