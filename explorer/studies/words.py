"""Words that the findings of several studies share: scores, methods, and whether an estimate tells anything."""

from collections.abc import Callable

import pandas as pd

from explorer.charts.labels import interval, rate
from explorer.runs.columns import BY_CHANGE
from explorer.studies.effect import DEGENERATE
from explorer.studies.statistics import Estimate

SCORE_WORDS = {"refusal": "refusals", "cost": "cost", "reward": "reward", DEGENERATE: "degenerate answers"}

_METHOD_WORDS = {
    "attribution": "attribution",
    BY_CHANGE: "change score",
    "effect_size": "effect size",
    "prompt_difference": "prompt difference",
    "activation_variance": "activation variance",
}

USUAL = {"attribution": 0.005}
"""The size of top sets that a finding speaks of, as a share of all neurons, of methods that need few."""

PAPERS = 0.05
"""That of all other methods."""


def score_words(score: str) -> str:
    """A score in words."""
    return SCORE_WORDS.get(score, score.replace("_", " "))


def method_words(method: str) -> str:
    """A method within a sentence: "attribution", "change score"."""
    return " and ".join(_METHOD_WORDS.get(part, part.replace("_", " ")) for part in method.split(" and "))


def spoken(method: str, text: str) -> str:
    """A text under the ranking that it speaks of; "" where there is none."""
    return f"**By {method_words(method)}.** {text}" if text else ""


def by_method(table: pd.DataFrame, sentence: Callable[[pd.DataFrame], str]) -> str:
    """A finding; of rankings by several methods a paragraph each.

    Args:
        table: of a study.
        sentence: the finding of the rows of one method.
    """
    if table.empty:
        return ""
    if "method" not in table or table["method"].nunique() < 2:
        return sentence(table)
    parts = [spoken(str(method), sentence(rows)) for method, rows in table.groupby("method", sort=False)]
    return "\n\n".join(part for part in parts if part)


def usual_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the size of top sets that is told of first, as near to it as was measured."""
    wanted = USUAL.get(str(table["method"].iloc[0]), PAPERS) if "method" in table else PAPERS
    return table[table["fraction"] == min(table["fraction"].unique(), key=lambda fraction: abs(fraction - wanted))]


def first_rows(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows that agree with the first one in these columns: what a build file names first."""
    for column in columns:
        table = table[table[column] == table[column].iloc[0]]
    return table


def mean_of(rows: pd.DataFrame, column: str) -> Estimate:
    """The mean of several estimates; its interval runs between the means of their bounds.

    That is no narrower than the mean's own interval, however the rows depend on each other (they share prompts).
    """
    value, low, high = (float(rows[f"{column}{end}"].mean()) for end in ("", "_low", "_high"))
    return Estimate(value, low, high)


def share_of(found: Estimate) -> str:
    """A share of a gap with its interval, and that it is nothing where it may be."""
    unsure = "" if found.sign else ", not distinguishable from 0"
    return f"**{rate(found.value)}** (95 % interval {interval(found.low, found.high)}{unsure})"
