"""Frames that the Causal effect page draws, out of the run's tables; knows no Streamlit."""

import pandas as pd

from explorer.charts.effect import BANDS, SERIES
from explorer.charts.labels import percent, suite_label
from explorer.ui import findings

IN_CURVE = ("safety", "random", "anywhere")


def matrix_frame(effect: pd.DataFrame, score: str) -> pd.DataFrame:
    """A row for each suite and fraction of safety neurons whose effect is defined."""
    column = f"effect_{score}"
    rows = effect[(effect["set"] == "safety") & effect[column].notna()].sort_values("fraction", kind="stable")
    return rows.assign(
        x_label=rows["fraction"].map(percent),
        y_label=rows["suite"].map(suite_label),
        low=rows[f"{column}_low"],
        high=rows[f"{column}_high"],
    )[["suite", "fraction", "x_label", "y_label", column, "low", "high", "n", "k"]]


def curves(effect: pd.DataFrame) -> pd.DataFrame:
    """The sets that are drawn against the fraction."""
    return effect[effect["set"].isin(IN_CURVE)]


def curve_caption(lines: pd.DataFrame) -> str:
    """What a curve was measured on."""
    draws = lines.loc[lines["series"] == "random", "seeds"]
    random = (
        f" Random neurons, as many in each layer, are drawn outside the safety set, {int(draws.max())} times; points "
        "are means over the draws. Where that set fills more than half of a layer, there are none to draw and their "
        "curve ends."
        if len(draws)
        else ""
    )
    return (
        f"n = {int(lines['n'].max()):,} prompts, up to {int(lines['max_new_tokens'].max())} tokens an answer. "
        f"{BANDS}{random}"
    )


def other_sets(effect: pd.DataFrame, suite: str, score: str) -> pd.DataFrame:
    """Windows, the last layer, and safety and random neurons as many as a window has, for `interval_chart`.

    Where a run has no windows, random neurons at every fraction.
    """
    column = f"effect_{score}"
    rows = effect[(effect["suite"] == suite) & effect[column].notna()]
    apart = rows[~rows["set"].isin(IN_CURVE)]
    sizes = set(apart.loc[apart["set"] == "window", "fraction"])
    alike = rows["fraction"].isin(sizes)
    first = rows[(rows["set"] == "safety") & alike]
    random = rows[rows["set"].isin(("random", "anywhere")) & (alike if sizes else True)]
    rows = pd.concat([first, apart, random])
    names = [_name(row) for row in rows.to_dict("records")]
    return pd.DataFrame(
        {
            "row": names,
            "series": "Causal effect",
            "value": rows[column],
            "low": rows[f"{column}_low"],
            "high": rows[f"{column}_high"],
            "n": rows["n"],
            "k": rows["k"],
        }
    )


def _name(row: dict) -> str:
    size = percent(row["fraction"])
    if row["set"] == "window":
        return f"ranks from {percent(row['start'])}, {size} of all"
    if row["set"] == "last_layer":
        return f"the last layer, {size} of all"
    return f"{SERIES[row['set']][0].removesuffix(' patched').lower()}, {size}"


def prompt_frame(answers: pd.DataFrame, suite: str, fraction: float) -> pd.DataFrame:
    """The prompts of a suite with M1's, the patched and M2's scores, and the patched answer."""
    mine = answers[answers["suite"] == suite]
    patched = mine[(mine["set"] == "safety") & ((mine["fraction"] - fraction).abs() < 1e-9)].set_index("prompt_id")
    frame = patched[["prompt", "category", "answer"]].copy()
    for name, rows in (
        ("M1", mine[mine["column"] == "unpatched"].set_index("prompt_id")),
        ("patched", patched),
        ("M2", mine[mine["column"] == "aligned"].set_index("prompt_id")),
    ):
        for score in findings.kept_scores(rows):
            frame[f"{score} {name}"] = rows[score].reindex(frame.index).round(2)
        frame[f"refused {name}"] = rows["refused"].reindex(frame.index)
    return frame.reset_index(drop=True)


def capability_frame(capability: pd.DataFrame) -> pd.DataFrame:
    """Changes from M1, for `interval_chart`."""
    rows = capability[capability["model"] != "M1"]
    shift = (rows["measure"] == "perplexity").astype(float)
    series = [
        f"M1, {percent(fraction)} patched" if model == "patched" else "M2, aligned"
        for model, fraction in zip(rows["model"], rows["fraction"], strict=True)
    ]
    return pd.DataFrame(
        {
            "row": rows["task"].map(findings.TASKS).fillna(rows["task"]),
            "series": series,
            "value": rows["change"] - shift,
            "low": rows["change_low"] - shift,
            "high": rows["change_high"] - shift,
            "n": rows["n"],
        }
    )
