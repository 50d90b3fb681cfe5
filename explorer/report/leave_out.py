"""Frames of the study that leaves one neuron out of the top set (table `leave_out`)."""

import pandas as pd

from explorer.neurons.tables import neuron_label
from explorer.report.addresses import neuron_address
from explorer.report.single_neurons import estimates, ranked_names

LEFT_OUT, ALONE = "left out of the set: what is lost", "patched alone: what is gained"


def change_frame(table: pd.DataFrame, alone: pd.DataFrame | None = None) -> pd.DataFrame:
    """For `charts.matrix.interval_chart`: what the margin loses without each neuron, and gains by it alone.

    Args:
        table: the run's.
        alone: the run's table `single_neurons`, where it holds one; only neurons of the set are shown.
    """
    each = table[table["rank"] > 0]
    frames = [_rows(each, LEFT_OUT, "loss")]
    if alone is not None:
        mine = alone[(alone["direction"] == "restore") & alone["ranking"].isin(set(table["ranking"]))]
        known = set(zip(each["layer"], each["neuron"], strict=True))
        mine = mine[[place in known for place in zip(mine["layer"], mine["neuron"], strict=True)]]
        frames.append(_rows(mine, ALONE, "margin"))
    return pd.concat(frames, ignore_index=True)


def neuron_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The neurons by what is lost without them, most first, with addresses of their pages.

    Returns:
        Columns rank, neuron, loss, loss_low, loss_high, p_holm, refusal, refusal_change, page.
    """
    each = table[table["rank"] > 0].sort_values("loss", ascending=False)
    places = list(zip(each["layer"].tolist(), each["neuron"].tolist(), strict=True))
    named = each.assign(
        neuron=[neuron_label(*place) for place in places], page=[neuron_address(*place) for place in places]
    )
    columns = ["rank", "neuron", "loss", "loss_low", "loss_high", "p_holm", "refusal", "refusal_change", "page"]
    return named[columns].reset_index(drop=True)


def _rows(rows: pd.DataFrame, series: str, column: str) -> pd.DataFrame:
    return pd.DataFrame({"row": ranked_names(rows), "series": series, **estimates(rows, column)})
