"""Words that the findings of several studies share: scores, methods, and whether an estimate tells anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from explorer.charts.labels import interval, rate
from explorer.runs.columns import BY_CHANGE
from explorer.studies.effect import DEGENERATE
from explorer.studies.statistics import Estimate

SCORE_WORDS = {"refusal": "refusals", "cost": "cost", "reward": "reward", DEGENERATE: "degenerate answers"}

ATTRIBUTION = "attribution"


@dataclass(frozen=True)
class MethodWords:
    """What a way to rank neurons is called, and the sizes of sets that pages begin with, as shares of all neurons.

    Attributes:
        title: alone, or before what is ranked: "Change score: Helpfulness".
        words: within a sentence.
        choice: among choices, where that says more than the title.
        patched: the share that is patched first.
        compared: the share of the top sets that are compared first.
    """

    title: str
    words: str
    choice: str = ""
    patched: float = 0.05
    compared: float = 0.05


METHODS: Mapping[str, MethodWords] = {
    ATTRIBUTION: MethodWords("Attribution", "attribution", patched=0.01, compared=0.005),
    BY_CHANGE: MethodWords("Change score", "change score", choice="Change score (paper)"),
    "effect_size": MethodWords("Effect size (Cohen's d)", "effect size"),
    "prompt_difference": MethodWords("Prompt difference", "prompt difference"),
    "activation_variance": MethodWords("Activation variance", "activation variance"),
}
"""Known methods by name; another is called by its name."""


def score_words(score: str) -> str:
    """A score in words."""
    return SCORE_WORDS.get(score, score.replace("_", " "))


def method_words(method: str) -> str:
    """A method within a sentence: "attribution", "change score"."""
    return " and ".join(known_method(part).words for part in method.split(" and "))


def spoken(method: str, text: str) -> str:
    """A text under the ranking that it speaks of; "" where there is none."""
    return f"**By {method_words(method)}.** {text}" if text else ""


def usual_fraction(method: str) -> float:
    """The size of top sets that is compared first, as a share of all neurons."""
    return known_method(method).compared


def known_method(method: str) -> MethodWords:
    """What a method is called; one that is not known by its name."""
    plain = method.replace("_", " ")
    return METHODS.get(method) or MethodWords(plain.capitalize(), plain)


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
    wanted = usual_fraction(str(table["method"].iloc[0]) if "method" in table else BY_CHANGE)
    nearest = min(table["fraction"].unique(), key=lambda fraction: abs(fraction - wanted))
    rows: pd.DataFrame = table[table["fraction"] == nearest]
    return rows


def known_scores(rows: pd.DataFrame) -> list[str]:
    """The scores whose change (column delta) is known, in the order of the rows."""
    return list(dict.fromkeys(rows.loc[rows["delta"].notna(), "score"]))


def first_rows(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows that agree with the first one in these columns: what a build file names first."""
    for column in columns if len(table) else ():
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
