"""Frames of the study of paths (tables `paths`, `paths_kept`, `paths_heads`, `paths_attention`)."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from explorer.charts.labels import signed
from explorer.charts.neuron import visible
from explorer.report.by import COLUMNS, RESTORE
from explorer.studies.path_words import set_label

PARTS: Mapping[str, str] = {
    "direct": "direct",
    "attention": "by attention",
    "patterns": "… by patterns (QK)",
    "values": "… by values (OV)",
    "mlps": "by later MLPs",
    "whole": "whole",
}
"""Parts that are drawn, in words; attention is patterns and values, and the whole is direct, attention and MLPs."""

KEPT: Mapping[str, str] = {
    "nothing": "nothing kept",
    "patterns": "attention patterns kept (QK)",
    "values": "values kept (OV)",
    "attention": "attention outputs kept",
    "mlps": "other MLP neurons kept",
    "everything": "all of these kept",
}
"""What stays M1's, in words."""


@dataclass(frozen=True)
class Measure:
    """A column of `paths_kept` that is shown.

    Attributes:
        label: of the control.
        axis: of the chart.
        share: whether it is a share, shown in percent.
    """

    label: str
    axis: str
    share: bool = False


MARGIN_AXIS = "Change of the refusal margin (logits)"
MEASURES: Mapping[str, Measure] = {
    "refusal": Measure("Refusals", "Share of the answers that refuse", share=True),
    "margin": Measure("Refusal margin", MARGIN_AXIS),
    "degenerate": Measure("Degenerate answers", "Share of degenerate answers", share=True),
}


def sets_of(table: pd.DataFrame) -> dict[str, str]:
    """The sets of a table in their order, each in words."""
    return {name: set_label(name) for name in dict.fromkeys(table["set"])}


def parts_frame(table: pd.DataFrame) -> pd.DataFrame:
    """For `charts.matrix.interval_chart`: a row a part, a series a set.

    Args:
        table: the run's table `paths`.
    """
    return _frame(table[table["part"].isin(list(PARTS))], "part", PARTS, "margin")


def flows(table: pd.DataFrame, name: str) -> dict[str, float]:
    """The parts of one set by name, in logits, for `charts.paths.flow_figure`."""
    mine = table[table["set"] == name]
    return dict(zip(mine["part"], mine["margin"].astype(float), strict=True))


def kept_frame(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """For `charts.matrix.interval_chart`: a row for what is kept, a series a set.

    Args:
        table: the run's table `paths_kept`.
        measure: one of `MEASURES`.
    """
    return _frame(table, "kept", KEPT, measure)


def strongest(table: pd.DataFrame) -> tuple[int, int]:
    """Layer and head of the head without which most is lost or gained.

    Args:
        table: rows of `paths_heads`, of one set.
    """
    row = table.iloc[int(table["lost"].abs().to_numpy().argmax())]
    return int(row["layer"]), int(row["head"])


def head_sentence(table: pd.DataFrame, layer: int, head: int) -> str:
    """What is lost without one head, in words.

    Args:
        table: rows of `paths_heads`, of one set.
        layer, head: of the head.
    """
    row = table[(table["layer"] == layer) & (table["head"] == head)].iloc[0]
    value, low, high = (signed(row[c], 2) for c in ("lost", "lost_low", "lost_high"))
    if row["lost_low"] > 0:
        end = "patching acts through it"
    elif row["lost_high"] < 0:
        end = "the margin is higher without its change"
    else:
        end = "not distinguishable from 0"
    return (
        f"With head {head} of layer {layer} kept at M1's, the refusal margin loses **{value}** logits ({low} to "
        f"{high}): {end}; n = {int(row['n']):,}. Intervals are not corrected for the number of heads."
    )


def looked_frame(table: pd.DataFrame, layer: int, head: int, prompt_id: object) -> pd.DataFrame:
    """For `charts.paths.attention_chart`: where one head looks in one prompt, in each model.

    Args:
        table: the run's table `paths_attention`.
        layer, head: of the head.
        prompt_id: of the prompt.
    """
    rows = table[(table["layer"] == layer) & (table["head"] == head) & (table["prompt_id"] == prompt_id)]
    return rows.assign(column=rows["column"].map(COLUMNS[RESTORE]), token=rows["token"].map(visible))


def _frame(rows: pd.DataFrame, by: str, words: Mapping[str, str], value: str) -> pd.DataFrame:
    order = {name: place for place, name in enumerate(words)}
    rows = rows.assign(place=rows[by].map(order)).sort_values("place", kind="stable")
    return pd.DataFrame(
        {
            "row": rows[by].map(words).to_numpy(),
            "series": rows["set"].map(set_label).to_numpy(),
            "value": rows[value].to_numpy(),
            "low": rows[f"{value}_low"].to_numpy(),
            "high": rows[f"{value}_high"].to_numpy(),
            "n": rows["n"].to_numpy(),
        }
    )
