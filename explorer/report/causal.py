"""Frames that the Causal effect page draws, out of the run's tables."""

import pandas as pd

from explorer.charts import palette
from explorer.charts.effect import BANDS, BREAKING, SERIES
from explorer.charts.labels import category_label, percent, suite_label
from explorer.charts.matrix import Matrix
from explorer.report import sentences
from explorer.report.by import UNSAID, By
from explorer.studies.capability import TASKS

IN_CURVE = ("safety", "random", "anywhere")


def series(by: By) -> dict[str, tuple[str, str]]:
    """Names and colours of the lines of one ranking and direction."""
    top = f"M1's activations in its top by {by.words}" if by.breaks else f"Top by {by.words}, patched"
    return {**(BREAKING if by.breaks else SERIES), "safety": (top, palette.PATCHED)}


def ability_of(capability: pd.DataFrame, ranking: str) -> pd.DataFrame:
    """The rows of general capability that were measured with sets of this ranking patched into M1."""
    return capability[capability["ranking"] == ranking]


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


def matrix(score: str) -> Matrix:
    """What stands where in the matrix of `matrix_frame`."""
    return Matrix(
        "fraction",
        "suite",
        "Neurons patched",
        "Prompts",
        f"effect_{score}",
        ".0%",
        (("low", "95 % interval from", ".0%"), ("high", "to", ".0%"), ("n", "Prompts (n)", ",")),
        (0.0, 1.0),
    )


def curves(effect: pd.DataFrame) -> pd.DataFrame:
    """The sets that are drawn against the fraction."""
    return effect[effect["set"].isin(IN_CURVE)]


def curve_caption(lines: pd.DataFrame) -> str:
    """What a curve was measured on."""
    draws = lines.loc[lines["series"] == "random", "seeds"]
    random = (
        f" Random neurons, as many in each layer, are drawn outside the top set, {int(draws.max())} times; points "
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


def prompt_frame(answers: pd.DataFrame, suite: str, fraction: float, by: By = UNSAID) -> pd.DataFrame:
    """The prompts of a suite with M1's, the patched and M2's scores, and the patched answer.

    Args:
        answers: of one ranking and direction.
        suite, fraction: of the patched answers.
        by: that ranking and direction; where M2 is patched, its answers stand under "patched M2 answers".
    """
    mine = answers[answers["suite"] == suite]
    patched = mine[(mine["set"] == "safety") & ((mine["fraction"] - fraction).abs() < 1e-9)].set_index("prompt_id")
    frame = patched[["prompt", "category", "answer"]].assign(category=patched["category"].map(category_label))
    if by.breaks:
        frame = frame.rename(columns={"answer": "patched M2 answers"})
    plain = {by.patched: "unpatched", by.giver: "aligned"}
    m1, m2 = (mine[mine["column"] == plain[model]].set_index("prompt_id") for model in ("M1", "M2"))
    for name, rows in (("M1", m1), ("patched", patched), ("M2", m2)):
        for score in sentences.kept_scores(rows):
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
            "row": rows["task"].map(TASKS).fillna(rows["task"]),
            "series": series,
            "value": rows["change"] - shift,
            "low": rows["change_low"] - shift,
            "high": rows["change_high"] - shift,
            "n": rows["n"],
        }
    )
