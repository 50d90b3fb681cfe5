"""Frames that the Safeguard page draws."""

import pandas as pd

from explorer.charts.labels import interval, rate, suite_label
from explorer.charts.matrix import Matrix

MEASURES = {
    "accuracy": "Accuracy",
    "auroc": "AUROC",
    "coverage": "Coverage (share of prompts accepted)",
    "accepted_cost": "Mean cost of accepted answers",
}


LEAST = {"accuracy": 0.3, "auroc": 0.4, "coverage": 0.3, "accepted_cost": 2.0}
"""What the axis of each spans at least: differences within the intervals are not to look like slopes."""


def curve(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Means over pairs of different suites, for `curve_chart`.

    Bands: of the safety neurons the means of the pairs' bounds, of random ones the lowest and highest draw's mean.
    """
    apart = frame[(frame["train"] != frame["test"]) & (frame["test"] != "all others")]
    names = {"safety": "Safety neurons", "random": "Random neurons, same layers"}
    rows = apart.groupby(["neurons", "k"], sort=False).agg(value=(measure, "mean"), n=("n", "sum")).reset_index()
    rows = rows.merge(_bands(apart, measure), on=["neurons", "k"], how="left")
    rows = rows.assign(series=rows["neurons"].map(names), x=rows["k"])[["series", "x", "value", "low", "high", "n"]]
    if measure == "accuracy" and len(apart):
        whole = apart.groupby("k").agg(value=("majority", "mean"), n=("n", "sum")).reset_index()
        rows = pd.concat([rows, whole.assign(series="Majority-class baseline", x=whole["k"]).drop(columns="k")])
    return rows.dropna(subset=["value"]).reset_index(drop=True)


def _bands(apart: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Columns neurons, k, low, high; of safety neurons only where the run holds bounds."""
    random = apart[apart["neurons"] == "random"].groupby(["k", "seed"])[measure].mean().groupby("k").agg(["min", "max"])
    frames = [random.rename(columns={"min": "low", "max": "high"}).reset_index().assign(neurons="random")]
    ends = {f"{measure}_{end}": end for end in ("low", "high")}
    if set(ends) <= set(apart):
        safety = apart[apart["neurons"] == "safety"].groupby("k")[list(ends)].mean().rename(columns=ends)
        frames.append(safety.reset_index().assign(neurons="safety"))
    return pd.concat(frames, ignore_index=True)


def draws(frame: pd.DataFrame) -> int:
    """How many random draws there are."""
    return int(frame.loc[frame["neurons"] == "random", "seed"].nunique())


def cells(frame: pd.DataFrame, k: int, measure: str) -> pd.DataFrame:
    """A row for each pair of suites, of the safety neurons."""
    rows = frame[(frame["k"] == k) & (frame["neurons"] == "safety")]
    return rows.assign(x_label=rows["test"].map(suite_label), y_label=rows["train"].map(suite_label))


def matrix(measure: str) -> Matrix:
    """What stands where in the matrix of `cells`."""
    return Matrix(
        "test",
        "train",
        "Tested on",
        "Trained on",
        measure,
        ".0%" if measure != "auroc" else ".2f",
        (("majority", "Majority", ".0%"), ("auroc", "AUROC", ".2f"), ("n", "Test prompts (n)", ",")),
        (0.0, 1.0),
    )


def detail(frame: pd.DataFrame, k: int, train: str, test: str) -> pd.Series | None:
    """One cell; None where there is none."""
    rows = frame[(frame["k"] == k) & (frame["neurons"] == "safety")]
    rows = rows[(rows["train"] == train) & (rows["test"] == test)]
    return None if rows.empty else rows.iloc[0]


def bounds(row: pd.Series) -> str:
    """Where a cell comes from, with its intervals."""
    parts = [f"accuracy {interval(row['accuracy_low'], row['accuracy_high'])}"]
    if not pd.isna(row.get("coverage_low")):
        parts.append(f"coverage {interval(row['coverage_low'], row['coverage_high'])}")
    if not pd.isna(row["auroc"]):
        there = not pd.isna(row.get("auroc_low"))
        ends = f" ({row['auroc_low']:.2f} to {row['auroc_high']:.2f})" if there else ""
        parts.append(f"AUROC {row['auroc']:.2f}{ends}")
    text = (
        f"n = {int(row['n']):,} test prompts, {int(row['train_n']):,} to train on; 95 % intervals: {', '.join(parts)}"
    )
    if not pd.isna(row.get("above_majority")):
        ends = interval(row["above_majority_low"], row["above_majority_high"])
        text += f"; accuracy above the majority-class baseline {rate(row['above_majority'])} ({ends})"
    return text
