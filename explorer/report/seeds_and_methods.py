"""Frames and sentences of the studies of seeds, of other methods, and of how a ranking's scores are spread."""

import pandas as pd

from explorer.charts.labels import percent, ranking_label
from explorer.charts.matrix import Matrix
from explorer.report.sentences import BOTH_SIDES
from explorer.studies.words import score_words

LIKENESS = {"overlap": "Overlap (share of k)", "spearman": "Spearman ρ of the shared"}

PLACE = Matrix(
    "layer",
    "group",
    "Layer",
    "Ranks",
    "share",
    ".0%",
    (("neurons", "Neurons", ","), ("even", "An even spread", ".1%")),
)
"""What stands where in the matrix of `place_frame`."""


def near(frame: pd.DataFrame, wanted: float) -> float:
    """The measured fraction closest to what is wanted."""
    return float(min(frame["fraction"].unique(), key=lambda f: abs(f - wanted)))


def seed_curves(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """A line for each pair of rankings, and chance beside overlap, for `curve_chart`."""
    names = frame["a"].map(ranking_label) + " / " + frame["b"].map(ranking_label)
    lines = pd.DataFrame({"series": names, "x": frame["fraction"], "value": frame[column], "n": frame["shared"]})
    if column == "overlap":
        chance = frame.drop_duplicates("fraction")
        extra = pd.DataFrame({"series": "Chance", "x": chance["fraction"], "value": chance["chance"], "n": chance["k"]})
        lines = pd.concat([lines, extra], ignore_index=True)
    return lines.dropna(subset=["value"])


def identification_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Effects for `interval_chart`: a row for each ranking, a series for each score."""
    rows = []
    for score in ("refusal", *BOTH_SIDES):
        column = f"effect_{score}"
        known = frame[frame[column].notna()] if column in frame else frame.iloc[:0]
        rows += [
            {
                "row": f"{ranking_label(str(r['ranking']))}, {percent(r['fraction'])}",
                "series": score_words(score).capitalize(),
                "value": r[column],
                "low": r[f"{column}_low"],
                "high": r[f"{column}_high"],
                "n": r["n"],
            }
            for r in known.to_dict("records")
        ]
    return pd.DataFrame(rows, columns=["row", "series", "value", "low", "high", "n"])


def likeness_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Overlap and correlation with the reference."""
    return pd.DataFrame(
        {
            "Ranking": frame["ranking"].map(ranking_label),
            "Top": frame["fraction"].map(percent),
            "Shared neurons": frame["shared"],
            "Overlap": frame["overlap"].map(percent),
            "Chance": frame["chance"].map(percent),
            "Spearman ρ": frame["spearman"].round(2),
        }
    )


def energy(frame: pd.DataFrame) -> pd.DataFrame:
    """The share of the squared scores in each top set, for `curve_chart`."""
    return pd.DataFrame(
        {
            "series": frame["ranking"].map(ranking_label),
            "x": frame["fraction"],
            "value": frame["energy"],
            "n": frame["k"],
        }
    )


def place_frame(frame: pd.DataFrame, ranking: str) -> pd.DataFrame:
    """The cells of one ranking."""
    rows = frame[frame["ranking"] == ranking]
    labels = rows["from_fraction"].map(percent) + " to " + rows["to_fraction"].map(percent)
    return rows.assign(x_label=rows["layer"].astype(str), y_label=labels)


def group_label(frame: pd.DataFrame, group: int) -> str:
    """A group of ranks in words."""
    rows = frame[frame["group"] == group]
    return f"ranks {rows['y_label'].iloc[0]}" if len(rows) else str(group)
