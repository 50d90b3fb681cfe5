"""What a run measured with the sets of one ranking in one direction, and the controls that choose the two.

results = choose_results(run)
results.effect                # rows of that ranking only, so that nothing else on a page has to know of others

Runs of before have one ranking, "safety", and one direction (`runs.columns`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from explorer.runs.reader import Run
from explorer.ui.by import BREAK, DIRECTIONS, RESTORE, By, ranking_title
from explorer.ui.plain import plain
from explorer.ui.runs import table

if TYPE_CHECKING:
    import pandas as pd

RANKING, DIRECTION = "ranking", "direction"
"""The names of the two controls in an address."""


@dataclass(frozen=True)
class Results:
    """Tables of one ranking and one direction.

    Attributes:
        ranking: its name in the run.
        by: ranking and direction in words.
        models: what the two models do; of breaking, "unpatched" is M2 and "aligned" M1.
        effect, restoring: rows of this ranking; restoring is None where the run has no such table.
        answers: those patched with sets of this ranking, and those that nothing is patched in.
    """

    ranking: str
    by: By
    models: "pd.DataFrame"
    effect: "pd.DataFrame"
    answers: "pd.DataFrame"
    restoring: "pd.DataFrame | None"

    @property
    def direction(self) -> str:
        """ "restore" or "break"."""
        return self.by.direction

    def lab(self, run: Run) -> dict[str, object]:
        """The controls of the Patch lab that give the same sets, but for their size."""
        controls: dict[str, object] = {RANKING: self.ranking} if self.ranking in run.rankings else {}
        if self.by.breaks:
            controls[DIRECTION] = BREAK
        return controls


def table_of(name: str, direction: str) -> str:
    """The table that holds the results of a direction."""
    return name if direction == RESTORE else f"{name}_{direction}"


def directions_of(run: Run) -> list[str]:
    """The directions that a run patched in."""
    return [d for d in DIRECTIONS if patched_rankings(run, d)]


def patched_rankings(run: Run, direction: str = RESTORE) -> list[str]:
    """The rankings whose top sets a run patched, the main one first."""
    if not {table_of(name, direction) for name in ("effect", "models", "answers")} <= set(run.tables):
        return []
    effect = table(run, table_of("effect", direction))
    if effect.empty:
        return []
    found = dict.fromkeys(effect.loc[effect["set"] == "safety", "ranking"])
    return sorted(found, key=lambda name: name != run.main_ranking)


def of_ranking(frame: "pd.DataFrame", ranking: str) -> "pd.DataFrame":
    """The rows of one ranking, and those of answers that nothing is patched in."""
    return frame[frame["ranking"].isin(("", ranking))] if len(frame) else frame


def results_of(run: Run, ranking: str, direction: str = RESTORE) -> Results:
    """The tables of a ranking that was patched in a direction; see `patched_rankings`."""
    models, effect, answers = (table(run, table_of(name, direction)) for name in ("models", "effect", "answers"))
    name = table_of("restoring", direction)
    return Results(
        ranking,
        By.of(ranking, run.manifest["rankings"], direction),
        models,
        of_ranking(effect, ranking),
        of_ranking(answers, ranking),
        of_ranking(table(run, name), ranking) if name in run.tables else None,
    )


def titles(run: Run, rankings: list[str]) -> dict[str, str]:
    """Rankings by name, in words."""
    return {name: ranking_title(name, run.manifest["rankings"]) for name in rankings}


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
