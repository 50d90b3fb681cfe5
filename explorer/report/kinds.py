"""Frames of the study of kinds of neurons for its charts and tables."""

import pandas as pd

from explorer.charts.labels import ranking_label, suite_label
from explorer.charts.matrix import Matrix
from explorer.neurons.segments import SEGMENTS
from explorer.report.addresses import neuron_address
from explorer.studies.compared_sets import RANDOM

PROFILE = Matrix("segment", "name", "Segment of the text", "Kind", "relative", ".2f", (("neurons", "Neurons", ","),))
"""How much M2 changes each kind in each segment, over what it changes the same neurons on average."""

PATCHED = {
    "alone": "the kind alone",
    "part": "as many of the set at random",
    "without": "the set without the kind",
    "without_part": "the set without as many at random",
}


def kind_label(kind: int, name: str = "") -> str:
    """A kind in words; 0 is the whole set of this name."""
    if kind:
        return f"Kind {kind}"
    return "random neurons" if name == RANDOM else "the whole set"


def profile_frame(table: pd.DataFrame, suite: str) -> pd.DataFrame:
    """For `charts.matrix.matrix_chart` and PROFILE: segments as columns; kinds, the whole set and random ones as rows.

    Args:
        table: `kinds_profile`.
        suite: of the prompts.
    """
    rows = table[table["suite"] == suite]
    order = rows.assign(last=rows["set"] == RANDOM, whole=rows["kind"] == 0)
    rows = order.sort_values(["last", "whole", "kind"], kind="stable").drop(columns=["last", "whole"])
    labels = [kind_label(kind, name) for kind, name in zip(rows["kind"], rows["set"], strict=True)]
    return rows.assign(
        x_label=rows["segment"].map(SEGMENTS).to_numpy(), y_label=labels, name=rows["kind"].astype(str).to_numpy()
    )


def structure_frame(table: pd.DataFrame) -> pd.DataFrame:
    """For `charts.matrix.curve_chart`: silhouettes by the number of clusters; random draws from lowest to highest."""
    rows = []
    for (name, k), part in table.groupby(["set", "clusters"], sort=False):
        values = part["silhouette"]
        row = {"x": int(str(k)), "series": "random neurons" if name == RANDOM else ranking_label(str(name))}
        several = len(part) > 1
        row |= {"value": float(values.mean()), "low": float(values.min()) if several else float("nan")}
        rows.append(row | {"high": float(values.max()) if several else float("nan"), "n": len(part)})
    return pd.DataFrame(rows)


def causal_frame(table: pd.DataFrame) -> pd.DataFrame:
    """For `charts.matrix.interval_chart`: refusals with each kind patched alone and left out, beside random parts."""
    rows = []
    for row in table.to_dict("records"):
        for what, words in PATCHED.items():
            value, low, high = (row[f"refusal_{what}{end}"] for end in ("", "_low", "_high"))
            cells = {"row": f"{kind_label(row['kind'])} ({row['neurons']:,})", "series": words, "value": value}
            rows.append(cells | {"low": low, "high": high, "n": row["n"]})
    return pd.DataFrame(rows)


def tokens_frame(table: pd.DataFrame, kind: int) -> pd.DataFrame:
    """What a kind writes: columns promotes, by, suppresses, by how much; a row for each place."""
    mine = table[table["kind"] == kind]
    sides = [mine[mine["direction"] == d].set_index("place")[["token", "logit"]] for d in ("promotes", "suppresses")]
    named = [side.set_axis([name, f"{name}_logit"], axis=1) for side, name in zip(sides, ("up", "down"), strict=True)]
    return pd.concat(named, axis=1).reset_index()


def neurons_frame(table: pd.DataFrame, kind: int) -> pd.DataFrame:
    """A kind's neurons in the order of the ranking, each with the address of its page."""
    mine = table[table["kind"] == kind].sort_values("rank").drop(columns="kind")
    links = [neuron_address(int(a), int(b)) for a, b in zip(mine["layer"], mine["neuron"], strict=True)]
    return mine.assign(look=links)


def prompts_frame(table: pd.DataFrame, kind: int) -> pd.DataFrame:
    """The prompts on which M2 changes a kind most."""
    mine = table[table["kind"] == kind].sort_values("place")
    return mine.assign(suite=mine["suite"].map(suite_label))[["prompt", "suite", "activity", "activity_set"]]
