"""Answers that a run already has, for a machine on which no model can run."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from explorer.charts.labels import percent
from explorer.ui.generation import COLUMNS, Column, End

if TYPE_CHECKING:
    import pandas as pd

_SETS = {
    "safety": "highest change scores",
    "random": "random, same number per layer",
    "anywhere": "random, anywhere",
    "last_layer": "the last layer",
}
"""Kinds of sets that are offered, in words; windows of ranks are not, since they share their size."""


def cached_prompts(answers: "pd.DataFrame") -> dict[str, tuple[str, str]]:
    """Prompts of the table, each with the suite and id it is found by."""
    plain = answers[answers["column"] == "unpatched"]
    cells = zip(plain["prompt"].to_list(), plain["suite"].to_list(), plain["prompt_id"].to_list(), strict=True)
    return {str(prompt): (str(suite), str(prompt_id)) for prompt, suite, prompt_id in cells}


def cached_sets(answers: "pd.DataFrame", suite: str) -> dict[str, tuple[str, int, float]]:
    """The patched sets of a suite in words, each with its (set, seed, fraction): by score first, small ones first."""
    patched = answers[(answers["column"] == "patched") & (answers["suite"] == suite) & answers["set"].isin(_SETS)]
    keys = set(zip(patched["set"].to_list(), patched["seed"].to_list(), patched["fraction"].to_list(), strict=True))
    sets = {}
    for kind, seed, fraction in sorted(keys, key=lambda k: (k[0] != "safety", k[0], k[2], k[1])):
        drawn = f", seed {seed}" if seed >= 0 else ""
        sets[f"{percent(fraction)}, {_SETS[kind]}{drawn}"] = (str(kind), int(seed), float(fraction))
    return sets


def cached_columns(
    answers: "pd.DataFrame", prompt: tuple[str, str], chosen: tuple[str, int, float] | None, max_new_tokens: int
) -> dict[str, Column]:
    """The three answers to a prompt; an empty column where the run has none.

    Args:
        answers: the run's table.
        prompt: suite and id.
        chosen: set, seed and fraction of the patched column; None for none.
        max_new_tokens: the run's length limit: an answer of that many tokens was cut.
    """
    rows = answers[(answers["suite"] == prompt[0]) & (answers["prompt_id"] == prompt[1])]
    found: Mapping[str, pd.DataFrame] = {name: rows[rows["column"] == name] for name in COLUMNS}
    patched = found["patched"]
    if chosen is not None:
        wanted = (patched["set"] == chosen[0]) & (patched["seed"] == chosen[1]) & (patched["fraction"] == chosen[2])
        patched = patched[wanted]
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
