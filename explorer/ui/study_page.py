"""What the pages of the studies share: a table or one sentence, a clickable matrix, and prompts that lead to the lab.

frame = study_table(run, "transfer", "[transfer]")      # ends the page where the run lacks it
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

import altair as alt
import pandas as pd
import streamlit as st

from explorer.charts import Layered
from explorer.charts.matrix import CELL
from explorer.data.suites_io import WITHHELD
from explorer.report.addresses import lab_address
from explorer.runs.reader import Run
from explorer.ui.address_values import RANKING, SUITE, heed
from explorer.ui.current_run import table
from explorer.ui.typeset import Typeset, decimals, signed
from explorer.ui.widgets import Unchecked

T = TypeVar("T")

_ROWS = 8
"""Rows of a table of prompts that stand on the page; longer tables scroll."""

_FORMS = {
    "cost": decimals(2),
    "margin": decimals(2),
    "before": decimals(2),
    "total": signed(2),
    "direct": signed(2),
    "activity": decimals(2),
    "activity_set": decimals(2),
}


def has_table(run: Run, name: str) -> bool:
    """Whether the run holds a table with anything in it."""
    return name in run.tables and not table(run, name).empty


def missing(run: Run, what: str, setting: str) -> None:
    """One sentence in place of a study that the run lacks."""
    st.info(
        f"The run {run.name} does not hold {what}; add `{setting}` to its build file and build it again.",
        icon=":material/info:",
    )


def study_table(run: Run, name: str, what: str, setting: str) -> pd.DataFrame:
    """A table of the run; where the run lacks it, one sentence is shown and the page ends.

    Args:
        run: the run.
        name: of the table.
        what: of the study, for the sentence.
        setting: the table of the build file that asks for it.
    """
    if not has_table(run, name):
        missing(run, what, setting)
        st.stop()
    return table(run, name)


def show_matrix(chart: Layered, key: str, fields: Mapping[str, str], alt_text: str) -> None:
    """A matrix whose clicks set controls.

    Args:
        chart: of `charts.matrix.matrix_chart`.
        key: of the chart.
        fields: for each field of a cell, the control (session key) that takes its value.
        alt_text: for screen readers.
    """

    def take() -> None:
        cells = st.session_state[key].selection.get(CELL) or []
        if cells:
            for field, control in fields.items():
                st.session_state[control] = cells[0][field]

    st.altair_chart(
        cast(alt.Chart, Unchecked(chart)), key=key, on_select=take, selection_mode=CELL, width="stretch", alt=alt_text
    )


def show_prompts(frame: pd.DataFrame, alt_text: str, **controls: object) -> None:
    """A table of prompts with what was answered; each leads to the Patch lab with that prompt.

    Args:
        frame: a column prompt, and others to show.
        alt_text: for screen readers.
        controls: of the Patch lab: set, fraction, seed, ranking.
    """
    links = [None if WITHHELD in prompt else lab_address(prompt=prompt, **controls) for prompt in frame["prompt"]]
    shown = frame.assign(lab=pd.Series(links, index=frame.index, dtype=object))
    numbers = Typeset(shown, _FORMS)
    st.dataframe(
        numbers.data,
        hide_index=True,
        height=320 if len(shown) > _ROWS else "auto",
        alt=alt_text,
        placeholder="",
        column_config={
            "prompt": st.column_config.TextColumn("Prompt", width="large"),
            "answer": st.column_config.TextColumn("Patched M1 answers", width="large"),
            "m1": st.column_config.TextColumn("M1 answers", width="large"),
            "m2": st.column_config.TextColumn("M2 answers", width="large"),
            "category": "Category",
            "refused": st.column_config.CheckboxColumn("Refused"),
            "degenerate": st.column_config.CheckboxColumn("Degenerate"),
            "suite": "Prompts from",
            "cost": numbers.column("cost", "Cost"),
            "margin": numbers.column("margin", "Margin"),
            "before": numbers.column("before", "M1's margin"),
            "total": numbers.column("total", "Its change"),
            "direct": numbers.column("direct", "Directly"),
            "activity": numbers.column("activity", "The kind's change"),
            "activity_set": numbers.column("activity_set", "The whole set's"),
            "lab": st.column_config.LinkColumn("Try it", display_text="Patch lab", width="small"),
        },
    )


def pick(
    label: str,
    options: Sequence[T],
    key: str,
    format_func: Callable[[T], str] = str,
    width: int = 320,
    default: T | None = None,
) -> T:
    """A select box kept in the address; it begins with `default`, else with the first option.

    Prompts are chosen by the shared name `suite` as well, rankings by `ranking`.
    """
    shared = {"prompts": SUITE, "ranking": RANKING}.get(key, "")
    asked = heed(key, {format_func(option): option for option in options}, shared)
    index = 0 if asked or default is None or default not in options else list(options).index(default)
    return st.selectbox(label, options, index=index, key=key, format_func=format_func, bind="query-params", width=width)
