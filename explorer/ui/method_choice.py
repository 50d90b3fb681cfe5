"""The choice of the ranking that a page of a study speaks of, kept in the address (`?method=`).

chosen = choose_method(run, table(run, "transfer"))
chosen.rows          # of the chosen ranking's method
chosen.others        # rows of each other method, to be told in a line beside it
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from explorer.report.ranking_names import method_label, methods_in, of_method
from explorer.runs.reader import Run
from explorer.ui.address_values import heed
from explorer.ui.study_page import pick

METHOD = "method"
"""The name in the address, and of the widget."""


@dataclass(frozen=True)
class ChosenMethod:
    """A table's rows by the method of the rankings they are of.

    Attributes:
        method: the one that is chosen.
        rows: of that method.
        others: the rows of every other method.
    """

    method: str
    rows: pd.DataFrame
    others: dict[str, pd.DataFrame]


def choose_method(run: Run, table: pd.DataFrame) -> ChosenMethod:
    """The rows of one method: asked for where the table holds several, the main ranking's first."""
    methods = methods_in(run, table)
    method = choose_among(methods)
    return ChosenMethod(method, of_method(table, method), {m: of_method(table, m) for m in methods if m != method})


def choose_among(methods: list[str]) -> str:
    """One of several methods; with one there is nothing to ask. An address that names none of them is told so."""
    heed(METHOD, {method_label(name): name for name in methods})
    if len(methods) == 1:
        return methods[0]
    found = st.segmented_control(
        "Ranking",
        methods,
        default=None if METHOD in st.session_state else methods[0],
        required=True,
        format_func=method_label,
        key=METHOD,
        bind="query-params",
        help="What the neurons were ranked by: the change score says how much a neuron differs, attribution what "
        "patching it does to the answers.",
    )
    return found or methods[0]


def narrowed(rows: pd.DataFrame, column: str, label: str, form: Callable[..., str]) -> pd.DataFrame:
    """The rows of one value of a column, asked for where there are several."""
    values = list(dict.fromkeys(rows[column]))
    if len(values) < 2:
        return rows
    return rows[rows[column] == pick(label, values, f"{METHOD}_{column}", form)]
