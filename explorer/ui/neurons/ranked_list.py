"""The ranked list of neurons: its filters, the table whose rows can be clicked, and its export."""

import streamlit as st

from explorer.errors import ExplorerError
from explorer.neurons.ranking import Ranking
from explorer.report.neuron_query import SORTS, Query, Selection, labels, listing, parse_one
from explorer.report.ranking_scores import is_attribution, measure, measure_help
from explorer.runs.reader import Run
from explorer.ui.lab_links import send_list
from explorer.ui.typeset import COUNT, Form, Typeset, decimals, signed
from explorer.ui.widgets import download_csv

LIMIT = 2_000
"""Rows that are sent to the browser at most."""

NEURON = "neuron"
"""The name in the address, and of the field that holds the chosen neuron."""


def show_query(changes: Ranking) -> Query:
    """The filters and the order.

    Raises:
        ExplorerError: the ranks are out of range.
    """
    total = len(changes.order)
    names_at, layers_at, first_at, last_at = st.columns([3, 3, 1.3, 1.3], vertical_alignment="bottom")
    names = names_at.text_input(
        "Only these neurons", key="find", bind="query-params", placeholder="layer.index, for instance 12.345, 3.7"
    )
    layers = layers_at.multiselect(
        "Only these layers", list(range(changes.n_layers)), key="layers", bind="query-params", placeholder="All layers"
    )
    first = first_at.number_input("Ranks from", 1, total, 1, key="from", bind="query-params")
    last = last_at.number_input("to", 1, total, total, key="to", bind="query-params")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sort = st.selectbox("Sorted by", list(SORTS), format_func=SORTS.__getitem__, key="sort", width=280)
        descending = st.toggle("Highest first", key="descending", help="For ranks: the last rank first.")
    if first > last:
        raise ExplorerError(f"The ranks go from {first:,} to {last:,}; write the lower one first.")
    return Query(tuple(layers), int(first), int(last), names, sort, descending)


def show_list(run: Run, ranking: str, changes: Ranking, found: Selection) -> None:
    """The first rows of what was found; a click on one opens it below. The export holds all rows."""
    if not len(found.all):
        st.info("No neuron matches; widen the filters.")
        return
    names = labels(changes, found.shown)
    key = f"list_{run.name}_{ranking}_{hash(found.shown.tobytes())}"
    rows = listing(changes, found.shown)
    numbers = Typeset(rows[[name for name in _ORDER if name in rows]], _forms(changes))
    st.dataframe(
        numbers.data,
        key=key,
        height=390,
        hide_index=True,
        on_select=lambda: _open_clicked(key, names),
        selection_mode=["single-row", "single-cell"],
        column_config=_columns(changes, numbers),
        alt="Ranked neurons with their scores and mean activations in both models",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = "all" if len(found.shown) == len(found.all) else f"the first {len(found.shown):,}"
        st.caption(
            f"{len(found.all):,} neurons match; the table shows {shown}. Click a row to open it below.", width="stretch"
        )
        download_csv(
            f"CSV of all {len(found.all):,}",
            f"{run.name}-{ranking}.csv",
            lambda: listing(changes, found.all),
            "list_csv",
        )
        send_list("Patch them", names, "list_to_lab")


def chosen_neuron(changes: Ranking) -> tuple[int, int]:
    """The field that names the neuron to look at: layer and index; the first of the ranking while it is empty.

    Raises:
        ExplorerError: it names no neuron of this model.
    """
    first = labels(changes, changes.order[:1])[0]
    text = st.text_input(
        "Neuron (layer.index)",
        key=NEURON,
        bind="query-params",
        placeholder=f"{first} (rank 1)",
        width=260,
        help="Type a neuron, or click one in the list.",
    )
    return parse_one(text.strip() or first, changes)


def _open_clicked(key: str, names: list[str]) -> None:
    """Put the neuron of the clicked row into the field, and mark its row, wherever in the row the click was."""
    selection = st.session_state[key].selection
    clicked = [row for row, _column in selection.cells] or list(selection.rows)
    if clicked and clicked[0] < len(names):
        st.session_state[NEURON] = names[clicked[0]]
        st.session_state[key] = {"selection": {"rows": clicked[:1], "columns": [], "cells": []}}


_ORDER = (
    "rank",
    "neuron",
    "layer",
    "expert",
    "index_in_expert",
    "index",
    "change_score",
    "mean_m1",
    "mean_m2",
    "mean_change",
    "direction",
    "std_m1",
    "std_m2",
)
"""The columns that are shown."""


def _forms(changes: Ranking) -> dict[str, Form]:
    means = dict.fromkeys(("mean_m1", "mean_m2", "std_m1", "std_m2"), decimals(4))
    score = signed(4) if is_attribution(changes) else decimals(4)
    return {"rank": COUNT, "change_score": score, **means, "mean_change": signed(4)}


def _columns(changes: Ranking, numbers: Typeset) -> dict:
    number = numbers.column
    label, about = measure(changes), measure_help(changes)
    score = (
        number("change_score", f"{label} (nats)", help=about)
        if is_attribution(changes)
        else st.column_config.ProgressColumn(
            label, min_value=0.0, max_value=float(changes.scores.max()) or 1.0, format="%.4f", help=about
        )
    )
    return {
        "rank": number("rank", "Rank", width="small"),
        "neuron": st.column_config.TextColumn("Neuron", pinned=True, width="small"),
        "layer": number("layer", "Layer", width="small"),
        "expert": number("expert", "Expert", width="small", help="Of a mixture of experts; −1 is the shared one."),
        "index_in_expert": number("index_in_expert", "In expert", width="small", help="Index within its expert."),
        "index": number("index", "Index", width="small"),
        "change_score": score,
        "mean_m1": number("mean_m1", "Mean in M1"),
        "mean_m2": number("mean_m2", "Mean in M2"),
        "mean_change": number("mean_change", "Mean change", help="Mean in M2 − mean in M1."),
        "direction": st.column_config.TextColumn(
            "In M2", width="small", help="Whether its mean is higher in M2 than in M1."
        ),
        "std_m1": number("std_m1", "Spread in M1", help="Standard deviation over the compared positions."),
        "std_m2": number("std_m2", "Spread in M2", help="Standard deviation over the compared positions."),
    }
