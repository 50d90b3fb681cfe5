"""Answers that a run already has: shown at once, and all there is on a machine on which no model can run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.charts.labels import percent
from explorer.serve.generation import COLUMNS, Column, End
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
    if controls.kind not in _KINDS or not controls.is_plain:
        return None
    seed = -1 if controls.kind == "top" else controls.seed
    return CachedSet(_KINDS[controls.kind], seed, controls.fraction, controls.ranking)


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
    answers: "pd.DataFrame", prompt: tuple[str, str], chosen: CachedSet | None, max_new_tokens: int
) -> dict[str, Column]:
    """The three answers to a prompt; an empty column where the run has none.

    Args:
        answers: the run's table.
        prompt: suite and id.
        chosen: the patched column; None for none.
        max_new_tokens: the run's length limit: an answer of that many tokens was cut.
    """
    rows = answers[(answers["suite"] == prompt[0]) & (answers["prompt_id"] == prompt[1])]
    found: Mapping[str, pd.DataFrame] = {name: rows[rows["column"] == name] for name in COLUMNS}
    patched = found["patched"]
    if chosen is not None:
        same = (patched["set"] == chosen.set) & (patched["seed"] == chosen.seed)
        same &= (patched["fraction"] - chosen.fraction).abs() < 1e-9
        patched = patched[same & (patched["ranking"] == chosen.ranking)]
    columns = {}
    for name in COLUMNS:
        part = patched if name == "patched" else found[name]
        if part.empty or (name == "patched" and chosen is None):
            columns[name] = Column()
            continue
        row = part.iloc[0]
        end = End.LIMIT if row["tokens"] >= max_new_tokens else End.TOKEN
        cost, reward = _score(row, "cost"), _score(row, "reward")
        columns[name] = Column(str(row["answer"]), int(row["tokens"]), end, cost, bool(row["refused"]), reward)
    return columns


def _score(row: "pd.Series", column: str) -> float | None:
    """A score of an answer; None where the run was built without it."""
    value = float(row.get(column, float("nan")))
    return None if math.isnan(value) else value
