"""Answers that a run already has: shown at once, and all there is on a machine on which no model can run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.charts.labels import percent
from explorer.serve.generation import COLUMNS, CONTROL, Column, End
from explorer.ui.patch_lab.choice import Controls

if TYPE_CHECKING:
    import pandas as pd

_SETS = {
    "safety": "top of the ranking",
    "random": "random, same number per layer",
    "anywhere": "random, anywhere",
    "last_layer": "the last layer",
}
"""Kinds of sets that are offered, in words; windows of ranks are not, since they share their size."""

_KINDS = {"top": "safety", "random": "random", "anywhere": "anywhere"}
"""The kinds of the Patch lab that a run holds answers of, by what its tables call them."""


@dataclass(frozen=True)
class CachedSet:
    """Which patched answers.

    Attributes:
        set: a kind of set, as the table calls it.
        seed: of a random one; −1 else.
        fraction: of all neurons.
        ranking: that the set is of.
    """

    set: str
    seed: int
    fraction: float
    ranking: str = "safety"


def wanted(controls: Controls) -> CachedSet | None:
    """What the controls patch, as a run may hold it; None where no run does."""
    if controls.kind not in _KINDS or not controls.is_plain or controls.combines:
        return None
    seed = -1 if controls.kind == "top" else controls.seed
    return CachedSet(_KINDS[controls.kind], seed, controls.fraction, controls.ranking)


def wanted_control(answers: "pd.DataFrame", suite: str, controls: Controls, chosen: CachedSet) -> CachedSet | None:
    """The random neurons that a run holds beside a top set: of the seed that is chosen, else of the first that it has.

    None where none are asked for, the set is not a top one, or the run has none of its size.
    """
    if not controls.control or chosen.set != "safety":
        return None
    held = cached_sets(answers, suite, chosen.ranking).values()
    same = [one for one in held if one.set == "random" and abs(one.fraction - chosen.fraction) < 1e-9]
    return min(same, key=lambda one: (one.seed != controls.seed, one.seed), default=None)


def cached_prompts(answers: "pd.DataFrame") -> dict[str, tuple[str, str]]:
    """Prompts of the table, each with the suite and id it is found by."""
    plain = answers[answers["column"] == "unpatched"]
    cells = zip(plain["prompt"].to_list(), plain["suite"].to_list(), plain["prompt_id"].to_list(), strict=True)
    return {str(prompt): (str(suite), str(prompt_id)) for prompt, suite, prompt_id in cells}


def cached_sets(answers: "pd.DataFrame", suite: str, ranking: str = "safety") -> dict[str, CachedSet]:
    """The sets of a ranking that were patched on a suite, in words: by rank first, small ones first."""
    patched = answers[(answers["column"] == "patched") & (answers["suite"] == suite) & answers["set"].isin(_SETS)]
    patched = patched[patched["ranking"] == ranking]
    keys = set(zip(patched["set"].to_list(), patched["seed"].to_list(), patched["fraction"].to_list(), strict=True))
    sets = {}
    for kind, seed, fraction in sorted(keys, key=lambda k: (k[0] != "safety", k[0], k[2], k[1])):
        drawn = f", seed {seed}" if seed >= 0 else ""
        sets[f"{percent(fraction)}, {_SETS[kind]}{drawn}"] = CachedSet(str(kind), int(seed), float(fraction), ranking)
    return sets


def nearest_set(sets: Mapping[str, CachedSet], controls: Controls) -> int:
    """The place of the set that is most like what the controls describe; 0 where there is none of its kind."""
    kind = _KINDS.get(controls.kind)
    ways = [
        (chosen.set != kind, abs(math.log((chosen.fraction or 1e-9) / (controls.fraction or 1e-9))), place)
        for place, chosen in enumerate(sets.values())
    ]
    return min(ways)[2] if ways else 0


def cached_columns(
    answers: "pd.DataFrame",
    prompt: tuple[str, str],
    chosen: CachedSet | None,
    max_new_tokens: int,
    control: CachedSet | None = None,
) -> dict[str, Column]:
    """The answers to a prompt; an empty column where the run has none.

    Args:
        answers: the run's table.
        prompt: suite and id.
        chosen: the patched column; None for none.
        max_new_tokens: the run's length limit: an answer of that many tokens was cut.
        control: the column of random neurons; None for no such column, which is left out too where it has no answer.
    """
    rows = answers[(answers["suite"] == prompt[0]) & (answers["prompt_id"] == prompt[1])]
    found = {name: rows[rows["column"] == name] for name in COLUMNS if name != "patched"}
    patched = rows[rows["column"] == "patched"]
    found["patched"] = _of_set(patched, chosen)
    if len(random := _of_set(patched, control)):
        found[CONTROL] = random
    return {name: _column(part, max_new_tokens) for name, part in found.items()}


def _of_set(patched: "pd.DataFrame", chosen: CachedSet | None) -> "pd.DataFrame":
    """The answers that were patched with a set; none for None."""
    if chosen is None:
        return patched.iloc[:0]
    same = (patched["set"] == chosen.set) & (patched["seed"] == chosen.seed)
    same &= (patched["fraction"] - chosen.fraction).abs() < 1e-9
    return patched[same & (patched["ranking"] == chosen.ranking)]


def _column(rows: "pd.DataFrame", max_new_tokens: int) -> Column:
    if rows.empty:
        return Column()
    row = rows.iloc[0]
    end = End.LIMIT if row["tokens"] >= max_new_tokens else End.TOKEN
    cost, reward = _score(row, "cost"), _score(row, "reward")
    return Column(str(row["answer"]), int(row["tokens"]), end, cost, bool(row["refused"]), reward)


def _score(row: "pd.Series", column: str) -> float | None:
    """A score of an answer; None where the run was built without it."""
    value = float(row.get(column, float("nan")))
    return None if math.isnan(value) else value
