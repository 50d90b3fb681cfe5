"""The controls that choose a ranking and a direction, and with them what a page shows.

results = choose_results(run)         # of `report.results`
"""

from collections.abc import Collection, Mapping

import streamlit as st

from explorer.report.by import DIRECTIONS
from explorer.report.results import DIRECTION, RANKING, Results, directions_of, patched_rankings, results_of, titles
from explorer.runs.reader import Run
from explorer.ui.address_values import heed


def choose_direction(run: Run, key: str = DIRECTION) -> str:
    """Which way activations are patched, out of those that the run measured."""
    return choose(key, "Direction", {d: DIRECTIONS[d] for d in directions_of(run)})


def choose_ranking(run: Run, direction: str, key: str = RANKING, among: Collection[str] | None = None) -> str:
    """Whose top neurons are patched, out of those that the run patched in this direction, or of `among` only."""
    names = patched_rankings(run, direction)
    return choose(key, "Ranking", titles(run, names if among is None else [name for name in names if name in among]))


def choose_results(run: Run) -> Results:
    """The two controls, and the tables that they choose; the run must have patched something."""
    direction = choose_direction(run)
    return results_of(run, choose_ranking(run, direction), direction)


def choose(key: str, label: str, words: Mapping[str, str]) -> str:
    """A select box over names, shown in words and kept in the address; what is no longer offered is forgotten.

    An address may name an option by its name as well as in words.
    """
    if key in st.session_state and st.session_state[key] not in words:
        del st.session_state[key]
    heed(key, {shown: name for name, shown in words.items()})
    return st.selectbox(label, list(words), key=key, format_func=words.__getitem__, bind="query-params", width=320)
