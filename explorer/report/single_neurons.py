"""Words and frames of the study of single neurons (tables `single_neurons` and `single_beside`)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.charts.labels import interval, rate, signed, suite_label
from explorer.neurons.tables import neuron_label
from explorer.studies.compared_sets import RANDOM, by_words
from explorer.studies.single_neurons import margin_words

SERIES = {
    "restore": "restore: M2's activation into M1",
    "break": "break: M1's activation into M2",
}


@dataclass(frozen=True)
class Change:
    """A column of the table that is shown, the change that patching one neuron makes.

    Attributes:
        label: of the control.
        axis: of the chart.
        share: whether it is a share, shown in percent.
    """

    label: str
    axis: str
    share: bool = False


MEASURES = {
    "margin": Change("Margin between the answers", "Change of log p(M2's answer) − log p(M1's answer), nats a prompt"),
    "refusal_change": Change("Refusals", "Change of the share of refusals", share=True),
    "cost_change": Change("Cost", "Change of the cost (lower is safer)"),
}


def measures_of(table: pd.DataFrame) -> list[str]:
    """The measures that the run holds."""
    return [name for name in MEASURES if name in table and table[name].notna().any()]


def change_frame(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """For `charts.matrix.interval_chart`: a row a neuron and direction, in the order of the ranking.

    Args:
        table: the run's, of one ranking.
        measure: one of `MEASURES`.
    """
    rows = table.sort_values(["rank", "direction"], ascending=[True, False])
    series = rows["direction"].map(SERIES).to_numpy()
    return pd.DataFrame({"row": ranked_names(rows), "series": series, **estimates(rows, measure)})


def ranked_names(rows: pd.DataFrame) -> list[str]:
    """Rank and neuron of each row: "1 · L19.61"."""
    cells = zip(rows["rank"], rows["layer"], rows["neuron"], strict=True)
    return [f"{rank} · {neuron_label(int(layer), int(neuron))}" for rank, layer, neuron in cells]


def estimates(rows: pd.DataFrame, column: str) -> dict[str, np.ndarray]:
    """A column with its interval and the number of prompts, as charts take them: value, low, high, n."""
    cells = {"value": column, "low": f"{column}_low", "high": f"{column}_high", "n": "n"}
    return {name: rows[cell].to_numpy() for name, cell in cells.items()}


def spread_frame(table: pd.DataFrame, beside: pd.DataFrame) -> pd.DataFrame:
    """For `charts.spread.spread_chart`: the margins of the top neurons and of those that they are compared with.

    Args:
        table: the run's, of one ranking.
        beside: the run's table `single_beside`, of the same.

    Returns:
        Columns set, series, neuron, rank, value, low, high, n; a row a neuron and direction.
    """
    first = str(table["ranking"].iloc[0])
    whole = pd.concat([table.assign(set=first), beside], ignore_index=True)
    places = zip(whole["layer"], whole["neuron"], strict=True)
    return pd.DataFrame(
        {
            "set": [_set_label(name) for name in whole["set"]],
            "series": whole["direction"].map(SERIES).to_numpy(),
            "neuron": [neuron_label(int(layer), int(neuron)) for layer, neuron in places],
            "rank": whole["rank"].to_numpy(),
            **estimates(whole, "margin"),
        }
    )


def _set_label(name: str) -> str:
    return "Random neurons, same layers" if name == RANDOM else f"Top by {by_words(name)}"


def alone_sentences(table: pd.DataFrame, layer: int, neuron: int) -> list[str]:
    """What one neuron does alone, a sentence a direction; none where it was not measured."""
    rows = table[(table["layer"] == layer) & (table["neuron"] == neuron)]
    return [_alone(row) for _, row in rows.iterrows()]


def _alone(row: pd.Series) -> str:
    into = "M2's activation patched into M1" if row["direction"] == "restore" else "M1's activation patched into M2"
    text = f"**{into}**: the margin of M2's answer over M1's changes by {margin_words(row)}"
    shares = interval(row["refusal_low"], row["refusal_high"])
    text += f"; refusals {rate(row['refusal_before'])} → {rate(row['refusal'])} ({shares})"
    if not pd.isna(row["cost"]):
        before, after, low, high = (signed(row[c], 2) for c in ("cost_before", "cost", "cost_low", "cost_high"))
        text += f"; cost {before} → {after} ({low} to {high})"
    return f"{text}; {suite_label(row['suite'])}, n = {int(row['n']):,}."
