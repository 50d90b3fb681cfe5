"""Which two rankings are compared: two fields, or a click on the matrix of all pairs."""

from collections.abc import Sequence
from typing import cast

import altair as alt
import pandas as pd
import streamlit as st

from explorer.charts.labels import percent, ranking_label
from explorer.charts.overlap import CELL, LIKENESSES, Likeness, matrix_chart
from explorer.studies.words import method_words
from explorer.ui.address_values import RANKING, heed
from explorer.ui.widgets import Unchecked, caption_and_csv

A, B, MATRIX = "a", "b", "matrix"


def choose_rankings(rankings: Sequence[str], defaults: tuple[str, str]) -> tuple[str, str]:
    """Two fields for the rankings A and B, kept in the address; they begin with `defaults`."""
    labels = {ranking_label(name): name for name in rankings}
    heed(A, labels, RANKING)
    heed(B, labels)
    a, b = (
        st.selectbox(
            f"Ranking {name.upper()}",
            [first, *(other for other in rankings if other != first)],
            format_func=ranking_label,
            key=name,
            bind="query-params",
        )
        for name, first in zip((A, B), defaults, strict=True)
    )
    return a, b


def choose_colour() -> Likeness:
    """What the matrix's cells show, kept in the address."""
    name = st.segmented_control(
        "Colour by",
        list(LIKENESSES),
        default="overlap",
        required=True,
        format_func=lambda column: LIKENESSES[column].label,
        key="colour",
        bind="query-params",
    )
    return LIKENESSES[name or "overlap"]


def show_matrix(
    pairs: pd.DataFrame, colour: Likeness, chosen: tuple[str, str], file_name: str, method: str = ""
) -> None:
    """The matrix of all pairs, a click on a cell compares its pair; its data are given under `file_name`.

    Args:
        pairs: of `derived.ranking_pairs`, or some of its rows.
        colour: of `choose_colour`.
        chosen: the pair that is framed.
        file_name: of its data.
        method: how all of these rankings were computed; "" where they are of several methods.
    """
    st.altair_chart(
        cast(alt.Chart, Unchecked(matrix_chart(pairs, colour, chosen))),
        key=MATRIX,
        on_select=_compare_clicked,
        width="stretch",
        alt="Overlap, rank correlation and chance of every pair of rankings",
    )
    first = pairs.iloc[0]
    caption_and_csv(
        f"Rankings by {method_words(method) if method else 'any method'}. Click a cell to compare its two rankings. "
        f"Both top sets hold {int(first['k']):,} neurons; by chance they "
        f"would share {percent(first['chance'])}.",
        file_name,
        lambda: pairs,
        "pairs_csv",
    )


def _compare_clicked() -> None:
    cells = st.session_state[MATRIX].selection.get(CELL) or []
    if cells:
        st.session_state[A], st.session_state[B] = cells[0]["a"], cells[0]["b"]
