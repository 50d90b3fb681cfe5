"""Frames of the study of where and how deep (tables `depth`, `depth_kl`, `depth_answers`)."""

from dataclasses import dataclass

import pandas as pd

from explorer.studies.compared_sets import RANDOM, by_words
from explorer.studies.depth_words import place_words

CURVES = {
    "until": "the prompt and the first k",
    "first": "the first k alone",
    "after": "the answer without the first k",
}
"""What a curve over k patches."""


@dataclass(frozen=True)
class Measure:
    """A column of the table that is drawn.

    Attributes:
        label: of the control.
        axis: of the chart, with its unit.
        share: whether it is a share from 0 to 1.
    """

    label: str
    axis: str
    share: bool = True


MEASURES = {
    "refusal": Measure("Refusals", "Share of answers that refuse"),
    "cost": Measure("Cost", "Mean cost (above 0 harmful, lower is safer)", share=False),
    "degenerate": Measure("Degenerate answers", "Share of degenerate answers"),
}


def measures_of(table: pd.DataFrame) -> list[str]:
    """The measures that the run holds."""
    return [name for name in MEASURES if name in table and table[name].notna().any()]


def set_words(name: str) -> str:
    """A compared set, as it stands in legends."""
    return "Random neurons" if name == RANDOM else f"Top by {by_words(name)}"


def curve_frame(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """For `charts.matrix.curve_chart`: a measure against k, the answer's first tokens.

    The first set in every way, the others patched in the prompt and the first k; M1 and M2 as level lines. The prompt
    alone stands at k = 0, and so does the whole answer.
    """
    free = table[table["opening"] == ""]
    names = list(dict.fromkeys(free.loc[free["set"] != "", "set"]))
    frames = []
    for name in names:
        for where, words in CURVES.items() if name == names[0] else [("until", CURVES["until"])]:
            start = free[(free["set"] == name) & (free["where"] == "prompt")] if where == "until" else free.iloc[:0]
            rows = pd.concat([start, free[(free["set"] == name) & (free["where"] == where)]])
            frames.append(_points(rows, measure, f"{set_words(name)}: {words}"))
    most = max((int(frame["x"].max()) for frame in frames if len(frame)), default=0)
    for model in ("m1", "m2"):
        rows = free[free["where"] == model]
        level = pd.concat([rows.assign(tokens=0), rows.assign(tokens=most)])
        frames.append(_points(level, measure, f"{model.upper()}, nothing patched"))
    return pd.concat(frames, ignore_index=True).sort_values("x", kind="stable", ignore_index=True)


def place_frame(table: pd.DataFrame, measure: str, opening: str = "") -> pd.DataFrame:
    """For `charts.matrix.interval_chart`: a measure at every place without a k, each set a series.

    Args:
        table: the run's table `depth`.
        measure: one of `MEASURES`.
        opening: what answers had to begin with.
    """
    rows = table[(table["opening"] == opening) & ~table["where"].isin(["first", "until"]) & (table["tokens"] == 0)]
    series = [
        set_words(str(name)) if name else f"{str(where).upper()}, nothing patched"
        for name, where in zip(rows["set"], rows["where"], strict=True)
    ]
    words = [place_words(str(where), 0) for where in rows["where"]]
    frame = _points(rows, measure, "").assign(row=words, series=series)
    return frame[["row", "series", "value", "low", "high", "n"]]


def kl_frame(kl: pd.DataFrame) -> pd.DataFrame:
    """For `charts.matrix.curve_chart`: KL against the token of M2's answer, M1 and each patch a series."""

    def words(name: str, where: str) -> str:
        return "M1, nothing patched" if not name else f"{set_words(name)}: {place_words(where, 0)}"

    series = [words(str(name), str(where)) for name, where in zip(kl["set"], kl["where"], strict=True)]
    return _points(kl.rename(columns={"position": "tokens"}), "kl", "").assign(series=series)


def answers_behind(answers: pd.DataFrame, name: str, where: str, tokens: int, opening: str) -> pd.DataFrame:
    """The prompts and answers of one column, with M1's and M2's beside them.

    Returns:
        Columns prompt, answer, m1, m2, refused, degenerate, cost.
    """
    same = answers[answers["opening"] == opening]
    mine = same[(same["set"] == name) & (same["where"] == where) & (same["tokens"] == tokens)]
    plain = {model: same[same["where"] == model].set_index("prompt_id")["answer"] for model in ("m1", "m2")}
    others = {model: mine["prompt_id"].map(found) for model, found in plain.items()}
    found = mine.assign(**others)[["prompt", "answer", "m1", "m2", "refused", "degenerate", "cost"]]
    return found.reset_index(drop=True)


def _points(rows: pd.DataFrame, measure: str, series: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "x": rows["tokens"].to_numpy(),
            "series": series,
            "value": rows[measure].to_numpy(),
            "low": rows[f"{measure}_low"].to_numpy(),
            "high": rows[f"{measure}_high"].to_numpy(),
            "n": rows["n"].to_numpy(),
        }
    ).dropna(subset=["value"])
