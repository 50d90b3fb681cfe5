"""What a run measured with the sets of one ranking in one direction.

results = results_of(run, "attribution", "break")
results.effect                # rows of that ranking only, so that nothing else on a page has to know of others

Runs of before have one ranking, "safety", and one direction (`runs.columns`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.report.by import BREAK, DIRECTIONS, RESTORE, By
from explorer.report.ranking_names import ranking_title
from explorer.runs.reader import Run

if TYPE_CHECKING:
    import pandas as pd

RANKING, DIRECTION = "ranking", "direction"
"""What the two choices are called in an address."""


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

    def lab(self, run: Run) -> dict[str, Any]:
        """The controls of the Patch lab that give the same sets, but for their size."""
        controls: dict[str, Any] = {RANKING: self.ranking} if self.ranking in run.rankings else {}
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
    effect = run.whole_table(table_of("effect", direction))
    if effect.empty:
        return []
    found = dict.fromkeys(effect.loc[effect["set"] == "safety", "ranking"])
    return sorted(found, key=lambda name: name != run.main_ranking)


def of_ranking(frame: "pd.DataFrame", ranking: str) -> "pd.DataFrame":
    """The rows of one ranking, and those of answers that nothing is patched in."""
    return frame[frame["ranking"].isin(("", ranking))] if len(frame) else frame


def results_of(run: Run, ranking: str, direction: str = RESTORE) -> Results:
    """The tables of a ranking that was patched in a direction; see `patched_rankings`."""
    models, effect, answers = (run.whole_table(table_of(name, direction)) for name in ("models", "effect", "answers"))
    name = table_of("restoring", direction)
    return Results(
        ranking,
        By.of(ranking, run.manifest["rankings"], direction),
        models,
        of_ranking(effect, ranking),
        of_ranking(answers, ranking),
        of_ranking(run.whole_table(name), ranking) if name in run.tables else None,
    )


def titles(run: Run, rankings: list[str]) -> dict[str, str]:
    """Rankings by name, in words."""
    return {name: ranking_title(name, run.manifest["rankings"]) for name in rankings}
