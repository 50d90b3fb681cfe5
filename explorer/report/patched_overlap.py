"""Which preferences' rankings share the neurons that are patched now, beside chance: frames and a sentence.

names = compared(run, "attribution", "top")
cells = shared_by_layer(ns, {name: run.ranking(name) for name in names})
sharing_words(cells, len(ns))
"""

import pandas as pd

from explorer.charts.labels import BY_ATTRIBUTION, percent, ranking_label, rate
from explorer.report.ranking_names import rankings_by_method
from explorer.runs.reader import Run

ALL_LAYERS = -1
"""Stands for all layers together."""


def compared(run: Run, ranking: str, kind: str) -> list[str]:
    """The rankings that a set is compared with: those by the same method; where it has no others, by the main one.

    Args:
        run: the run.
        ranking: that the set is chosen by.
        kind: of set; the top of a ranking is not compared with that ranking.
    """
    groups = rankings_by_method(run)
    own = next((names for names in groups.values() if ranking in names), [])
    names = own if len(own) > 1 else next(iter(groups.values()), [])
    return [name for name in names if kind != "top" or name != ranking]


def preference(name: str) -> str:
    """What a ranking is of, without its method: "attribution_helpful" → "Helpfulness"."""
    return ranking_label(name.removeprefix(BY_ATTRIBUTION))


def layer_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that are drawn, each row labelled with its ranking and what it shares in all layers together."""
    whole = cells[cells["layer"] == ALL_LAYERS].set_index("ranking")["share"]
    drawn = cells[(cells["layer"] != ALL_LAYERS) & (cells["patched"] > 0)]
    order = list(whole.sort_values(ascending=False, kind="stable").index)
    label = {name: f"{preference(name)} · {rate(whole[name])}" for name in order}
    drawn = drawn.assign(label=drawn["ranking"].map(label), place=drawn["ranking"].map(order.index))
    return drawn.sort_values(["place", "layer"]).drop(columns="place").reset_index(drop=True)


def sharing_words(cells: pd.DataFrame, patched: int) -> str:
    """Which ranking shares most and least of the patched neurons, beside chance.

    Args:
        cells: of `neurons.overlap.shared_by_layer`.
        patched: how many neurons are patched.
    """
    whole = cells[cells["layer"] == ALL_LAYERS].sort_values("share", ascending=False, kind="stable")
    if whole.empty or not patched:
        return ""
    most, least = whole.iloc[0], whole.iloc[-1]
    plural = "s" if patched != 1 else ""
    text = (
        f"Of the **{patched:,}** neuron{plural} now patched, the top {patched:,} of “{preference(most['ranking'])}” "
        f"hold{'s' if patched == 1 else ''} **{rate(most['share'])}**"
    )
    if len(whole) > 1:
        text += f", those of “{preference(least['ranking'])}” **{rate(least['share'])}**"
    return f"{text}; by chance it would be {percent(float(most['chance']))}."
