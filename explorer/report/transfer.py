"""Frames that the Transfer page draws."""

from collections.abc import Sequence

import pandas as pd

from explorer.charts.labels import category_label, ranking_label, suite_label
from explorer.charts.matrix import Matrix
from explorer.report.sentences import kept_scores

KINDS = {"transfer": "suites of prompts", "categories": "categories of harm"}


MATRIX = Matrix(
    "target",
    "source",
    "Patched on",
    "Found on",
    "value",
    ".0%",
    (
        ("low", "95 % interval from", ".0%"),
        ("high", "to", ".0%"),
        ("n", "Prompts (n)", ","),
        ("shared", "Neurons shared with the own set", ".0%"),
        ("chance", "by chance", ".0%"),
    ),
    (0.0, 1.0),
)
"""What stands where in the matrix of `cells`."""


def kind_label(name: str) -> str:
    """A source or a target in words: a suite, a ranking of one, or a category of harm."""
    name = name.removeprefix("attribution_") if name.startswith("attribution_of_") else name
    if name.startswith("of_"):
        return suite_label(name.removeprefix("of_"))
    if "," in name or name == name.lower().replace(" ", "_"):
        known = suite_label(name)
        return known if known != name.replace("_", " ") else category_label(name)
    return ranking_label(name)


def cells(frame: pd.DataFrame, score: str) -> pd.DataFrame:
    """A row for each cell of the matrix: value, low, high, n, shared, chance, and labels."""
    column = f"effect_{score}"
    if column not in frame:
        frame = frame.assign(**{column: float("nan"), f"{column}_low": float("nan"), f"{column}_high": float("nan")})
    return frame.assign(
        x_label=frame["target"].map(kind_label),
        y_label=frame["source"].map(kind_label),
        value=frame[column],
        low=frame[f"{column}_low"],
        high=frame[f"{column}_high"],
    )[["source", "target", "x_label", "y_label", "value", "low", "high", "n", "shared", "chance"]]


def answers_behind(answers: pd.DataFrame, source: str, target: str) -> pd.DataFrame:
    """The answers of one cell."""
    rows = answers[(answers["source"] == source) & (answers["target"] == target)]
    scores = kept_scores(rows)
    shown = rows[["prompt", "category", "answer", *scores, "refused"]]
    shown = shown.assign(category=rows["category"].map(category_label))
    return shown.round(dict.fromkeys(scores, 2)).reset_index(drop=True)


def lab_controls(rankings: Sequence[str], source: str, row: pd.Series) -> dict[str, object]:
    """Controls of the Patch lab that patch the same neurons, as far as the run holds their ranking."""
    controls: dict[str, object] = {"fraction": f"{row['fraction']:.4g}"}
    if source in rankings:
        controls["ranking"] = source
    return controls
