"""Frames of the studies of logits (tables `logit_attribution…`, `logit_lens…`, `first_tokens`)."""

import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.labels import percent
from explorer.charts.logits import layer_bars, lens_chart, model_colours
from explorer.charts.neuron import visible
from explorer.report.addresses import neuron_address
from explorer.studies.logit_words import ALL, set_label

MARGIN_AXIS = "Refusal margin (logits)"
CHANGE_AXIS = "Change of the refusal margin (logits)"

PARTS = {
    "direct": "Patched neurons, directly",
    "neurons": "Other neurons",
    "attention": "Attention",
    "embedding": "Embedding",
    "readout": "Final norm",
    "total": "Whole change",
}
"""The parts of `logit_attribution` in words."""

_PART_COLOURS = {"direct": palette.PATCHED, "neurons": "#E69F00", "attention": "#0072B2"}


def sets_of(table: pd.DataFrame, column: str = "set") -> dict[str, str]:
    """The sets or models of a table in their order, each in words."""
    return {name: set_label(name) for name in dict.fromkeys(table[column])}


def direct_chart(table: pd.DataFrame) -> Layered:
    """What each set writes directly, by layer; M2's neurons, all of them, would dwarf it and are left out."""
    names = {name: label for name, label in sets_of(table).items() if name != "m2"}
    rows = table[(table["part"] == "direct") & (table["layer"] != ALL) & table["set"].isin(list(names))]
    return layer_bars(_bars(rows, rows["set"].map(names)), model_colours(names), CHANGE_AXIS)


def parts_chart(table: pd.DataFrame, name: str) -> Layered:
    """What neurons and attention of every layer add to one set's change."""
    rows = table[(table["set"] == name) & (table["layer"] != ALL)]
    words = {part: PARTS[part] for part in _PART_COLOURS} | ({"direct": "Neurons"} if name == "m2" else {})
    held = {words[part]: colour for part, colour in _PART_COLOURS.items() if part in set(rows["part"])}
    return layer_bars(_bars(rows, rows["part"].map(words)), held, CHANGE_AXIS)


def whole_frame(table: pd.DataFrame) -> pd.DataFrame:
    """For `charts.matrix.interval_chart`: a row a part of all layers, a series a set."""
    rows = table[table["layer"] == ALL]
    frame = _bars(rows, rows["set"].map(sets_of(table)))
    frame = frame.assign(row=rows["part"].map(PARTS).to_numpy())
    order = {label: place for place, label in enumerate(PARTS.values())}
    return frame.sort_values("row", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def neurons_frame(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The neurons of a set that write most, with the address of each."""
    rows = table[table["set"] == name].sort_values("rank")
    places = zip(rows["layer"], rows["neuron"], strict=True)
    return rows.assign(link=[neuron_address(int(layer), int(neuron)) for layer, neuron in places])


def lens_frame(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """For `lens_chart`: `measure` is "margin" or "change" (from M1's)."""
    rows = table if measure == "margin" else table[table["model"] != "m1"]
    frame = rows.rename(columns={measure: "value", f"{measure}_low": "low", f"{measure}_high": "high"})
    return frame.assign(series=rows["model"].map(sets_of(table, "model")))[
        ["layer", "series", "value", "low", "high", "n"]
    ]


def lens_lines(table: pd.DataFrame, measure: str) -> Layered:
    """The chart of `lens_frame`."""
    names = sets_of(table, "model")
    shown = {name: label for name, label in names.items() if measure == "margin" or name != "m1"}
    title = MARGIN_AXIS if measure == "margin" else CHANGE_AXIS
    return lens_chart(lens_frame(table, measure), model_colours(shown), title)


def heat_frame(table: pd.DataFrame, prompt: str, model: str) -> pd.DataFrame:
    """For `charts.logits.token_heatmap`: one prompt in one model, or one model's margins less M1's ("name − m1")."""
    name, _, less = model.partition(" − ")
    mine = table[table["prompt_id"].astype(str) == str(prompt)]
    rows = mine[mine["model"] == name].sort_values(["position", "layer"]).reset_index(drop=True)
    if less:
        other = mine[mine["model"] == less].sort_values(["position", "layer"]).reset_index(drop=True)
        rows = rows.assign(margin=rows["margin"] - other["margin"])
    shown = rows["token"].map(visible)
    return rows.assign(shown=shown, label=rows["position"].astype(str) + " " + shown)


def tokens_frame(table: pd.DataFrame) -> pd.DataFrame:
    """The tokens that count in the margin, with how often each model begins with them."""
    counted = table[table["weight"] != 0]
    side = counted["weight"].map(lambda weight: "refusal" if weight > 0 else "compliance")
    return counted.assign(side=side, text=counted["text"].map(visible))[["side", "text", "m2", "m1", "weight"]]


def of_size(table: pd.DataFrame) -> str:
    """How large the sets are: "0.5 % of the neurons, 230"."""
    first = table.iloc[0]
    return f"{percent(first['fraction'])} of the neurons, {int(first['k']):,}"


def _bars(rows: pd.DataFrame, series: pd.Series) -> pd.DataFrame:
    names = {"margin": "value", "margin_low": "low", "margin_high": "high"}
    return rows.rename(columns=names).assign(series=series)[["layer", "series", "value", "low", "high", "n"]]
