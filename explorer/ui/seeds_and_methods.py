"""The list of neurons on the page on seeds and methods."""

import pandas as pd
import streamlit as st

from explorer.report.addresses import neuron_address
from explorer.report.neuron_query import Query, listing, select
from explorer.report.ranking_scores import measure, measure_help
from explorer.runs.reader import Run
from explorer.ui.current_run import change_scores
from explorer.ui.typeset import COUNT, Typeset, decimals, signed


def show_neurons(run: Run, ranking: str, frame: pd.DataFrame, layer: int, group: int) -> None:
    """The first neurons of a cell, each with a way to its detail."""
    row = frame[(frame["layer"] == layer) & (frame["group"] == group)].iloc[0]
    changes = change_scores(run, ranking)
    total = len(changes.order)
    first, last = round(row["from_fraction"] * total) + 1, max(1, round(row["to_fraction"] * total))
    found = select(changes, Query(layers=(int(layer),), first_rank=min(first, last), last_rank=last), 200)
    rows = listing(changes, found.shown)
    rows = rows[["rank", "neuron", "layer", "index", "change_score", "mean_change"]]
    rows["look"] = [neuron_address(a, b) for a, b in zip(rows["layer"], rows["index"], strict=True)]
    numbers = Typeset(rows, {"rank": COUNT, "change_score": decimals(4), "mean_change": signed(4)})
    st.dataframe(
        numbers.data,
        hide_index=True,
        height=280,
        alt="Neurons of the chosen layer and ranks",
        column_config={
            "rank": numbers.column("rank", "Rank"),
            "neuron": "Neuron",
            "layer": "Layer",
            "index": "Index",
            "change_score": numbers.column("change_score", measure(changes), help=measure_help(changes)),
            "mean_change": numbers.column("mean_change", "Mean change", help="Mean in M2 − mean in M1."),
            "look": st.column_config.LinkColumn("Detail", display_text="Open"),
        },
    )
