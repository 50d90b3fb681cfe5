"""Frames of the alignment tax: of the activation swap (table `tax`), and of the ablation (table `ablation`)."""

from collections.abc import Callable, Sequence

import pandas as pd

from explorer.charts.labels import suite_label
from explorer.studies.ablation import ablated_words

Label = Callable[[str], str]
"""The aligned model that a ranking is of, in words."""

SETS = {"shared": "shared neurons", "only_a": "only in A", "only_b": "only in B", "random": "random neurons"}
"""Sets of neurons that activations are swapped at, in words."""

SHARES = ("refusal", "degenerate")
"""Scores whose changes are shares, drawn in percent."""


def swap_frame(rows: pd.DataFrame, label: Label) -> pd.DataFrame:
    """Changes of one score by the swap, for `charts.matrix.interval_chart`.

    Args:
        rows: of `tax`, of one pair, size of top sets and score.
        label: the aligned model that a ranking is of, in words.
    """
    names = [
        f"{label(m)} into {label(i)}, {suite_label(s)}"
        for m, i, s in zip(rows["activations_of"], rows["into"], rows["suite"], strict=True)
    ]
    return _changes(rows, names, SETS)


def ablation_frame(rows: pd.DataFrame, label: Label) -> pd.DataFrame:
    """Changes of one score by the ablation, for `charts.matrix.interval_chart`.

    Args:
        rows: of `ablation`, of one pair, size of top sets, suite and score.
        label: the aligned model that a ranking is of, in words.
    """
    names = [
        f"{ablated_words(value, label)} in {'M1' if into == 'm1' else label(into)}"
        for value, into in zip(rows["value"], rows["into"], strict=True)
    ]
    return _changes(rows, names, ablated_sets(rows, label))


def ablated_sets(rows: pd.DataFrame, label: Label) -> dict[str, str]:
    """The sets of the ablation in words, by their names in the table."""
    a, b = (label(str(rows[c].iloc[0])) for c in ("a", "b"))
    return {"shared": "shared neurons", "only_a": f"only {a}", "only_b": f"only {b}"}


def _changes(rows: pd.DataFrame, names: Sequence[str], sets: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": names,
            "series": rows["set"].map(sets),
            "value": rows["delta"],
            "low": rows["delta_low"],
            "high": rows["delta_high"],
            "n": rows["n"],
        }
    )
