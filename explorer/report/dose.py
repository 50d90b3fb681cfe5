"""Frames of the study of dose (tables `dose` and `dose_answers`)."""

import pandas as pd

from explorer.report.depth import MEASURES as ANSWERED
from explorer.report.depth import Measure, set_words

MEASURES = {**ANSWERED, "perplexity": Measure("Perplexity", "Perplexity on WikiText-2", share=False)}

SIZES = "sizes"
"""The comparison of the main ranking's sizes; another is that of all sets of one size, named by the size."""


def measures_of(table: pd.DataFrame) -> list[str]:
    """The measures that the run holds."""
    return [name for name in MEASURES if name in table and table[name].notna().any()]


def comparisons(table: pd.DataFrame) -> dict[str, str]:
    """What lines may be drawn, in words: sizes of the first set, or every set of one size."""
    patched = _patched(table)
    first = str(patched["set"].iloc[0])
    many = patched.groupby("k")["set"].nunique()
    words = {SIZES: f"{set_words(first)}, by size"}
    return words | {str(k): f"{k:,} neurons, by ranking and random" for k in many[many > 1].index.tolist()}


def curve_frame(table: pd.DataFrame, measure: str, comparison: str = SIZES) -> pd.DataFrame:
    """For `charts.matrix.curve_chart`: a measure against strength, a line a set, M1 and M2 as level lines.

    A line passes through M1 at strength 0, where nothing is patched.
    """
    patched = _patched(table)
    first = patched["set"].iloc[0]
    shown = patched[patched["set"] == first] if comparison == SIZES else patched[patched["k"] == int(comparison)]
    models = {name: table[table["set"] == name] for name in ("m1", "m2")}
    ends = [min(0.0, float(patched["strength"].min())), float(patched["strength"].max())]
    frames = []
    for (name, k), rows in shown.groupby(["set", "k"], sort=False):
        size = int(str(k))
        words = f"{size:,} neuron{'s' * (size != 1)}" if comparison == SIZES else set_words(str(name))
        through = pd.concat([rows, models["m1"].assign(strength=0.0)]).sort_values("strength")
        frames.append(_points(through, measure, words))
    for name, rows in models.items():
        level = pd.concat([rows.assign(strength=end) for end in ends])
        frames.append(_points(level, measure, f"{name.upper()}, nothing patched"))
    return pd.concat(frames, ignore_index=True)


def answers_behind(answers: pd.DataFrame, name: str, k: int, strength: float) -> pd.DataFrame:
    """The prompts and answers of one column: columns prompt, answer, refused, degenerate, cost."""
    mine = answers[(answers["set"] == name) & (answers["k"] == k) & (answers["strength"] == strength)]
    return mine[["prompt", "answer", "refused", "degenerate", "cost"]].reset_index(drop=True)


def _patched(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["set"].isin(["m1", "m2"])]


def _points(rows: pd.DataFrame, measure: str, series: str) -> pd.DataFrame:
    n = rows["windows" if measure == "perplexity" else "n"]
    ends = {end: rows[f"{measure}_{end}"].to_numpy() for end in ("low", "high")}
    cells = {"x": rows["strength"].to_numpy(), "series": series, "value": rows[measure].to_numpy(), "n": n.to_numpy()}
    return pd.DataFrame(cells | ends).dropna(subset=["value"])
