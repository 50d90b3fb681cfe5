"""Frames that the Safeguard page draws; knows no Streamlit."""

import pandas as pd

from explorer.charts.labels import interval, suite_label

MEASURES = {
    "accuracy": "Predicted rightly (share)",
    "auroc": "AUROC",
    "coverage": "Prompts let through (share)",
    "accepted_cost": "Mean cost of accepted answers",
}


def curve(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Means over pairs of different suites, for `curve_chart`."""
    apart = frame[(frame["train"] != frame["test"]) & (frame["test"] != "all others")]
    names = {"safety": "Safety neurons", "random": "Random neurons, same layers"}
    rows = apart.groupby(["neurons", "k"], sort=False).agg(value=(measure, "mean"), n=("n", "sum")).reset_index()
    rows = rows.assign(series=rows["neurons"].map(names), x=rows["k"])[["series", "x", "value", "n"]]
    if measure == "accuracy" and len(apart):
        whole = apart.groupby("k").agg(value=("majority", "mean"), n=("n", "sum")).reset_index()
        rows = pd.concat([rows, whole.assign(series="Saying always the same", x=whole["k"]).drop(columns="k")])
    return rows.dropna(subset=["value"]).reset_index(drop=True)


def draws(frame: pd.DataFrame) -> int:
    """How many random draws there are."""
    return int(frame.loc[frame["neurons"] == "random", "seed"].nunique())


def cells(frame: pd.DataFrame, k: int, measure: str) -> pd.DataFrame:
    """A row for each pair of suites, of the safety neurons."""
    rows = frame[(frame["k"] == k) & (frame["neurons"] == "safety")]
    return rows.assign(x_label=rows["test"].map(suite_label), y_label=rows["train"].map(suite_label))


def detail(frame: pd.DataFrame, k: int, train: str, test: str) -> pd.Series | None:
    """One cell; None where there is none."""
    rows = frame[(frame["k"] == k) & (frame["neurons"] == "safety")]
    rows = rows[(rows["train"] == train) & (rows["test"] == test)]
    return None if rows.empty else rows.iloc[0]


def bounds(row: pd.Series) -> str:
    """Where a cell comes from."""
    return (
        f"n = {int(row['n']):,} test prompts, {int(row['train_n']):,} to train on; 95 % interval of the accuracy "
        f"{interval(row['accuracy_low'], row['accuracy_high'])}"
    )
