"""The audit on the Scores page: read a random sample of the answers behind a number, and label it yourself."""

import pandas as pd
import streamlit as st

from explorer.charts.labels import percent, suite_label
from explorer.errors import ExplorerError
from explorer.report.audit import audit_sentence
from explorer.report.by import COLUMNS, RESTORE
from explorer.report.results import DIRECTION, directions_of, table_of
from explorer.runs.reader import Run
from explorer.studies.audit import LABELS, Cell, audit_sample, measured
from explorer.ui.current_run import show_problem, table
from explorer.ui.result_controls import choose_direction, choose_ranking
from explorer.ui.typeset import Typeset, decimals
from explorer.ui.widgets import download_csv

MOST = 200
"""The largest sample of the page; the command line gives larger ones."""


def show_audit(run: Run) -> None:
    """Which answers, the sample, and how the verdicts do against the reader's labels."""
    st.header("Read what is behind a number")
    if "answers" not in run.tables:
        st.info("This run holds no answers.", icon=":material/info:")
        return
    direction = choose_direction(run, f"audit_{DIRECTION}") if len(directions_of(run)) > 1 else RESTORE
    answers = table(run, table_of("answers", direction))
    if "verdict" not in answers:
        st.info("This run was built before answers had verdicts; build it again to audit it.", icon=":material/info:")
        return
    cell, n, seed = _choose(run, answers, direction)
    try:
        sample = audit_sample(answers, cell, n, seed)
    except ExplorerError as problem:
        show_problem(problem)
        return
    parts = int(sample["part"].sum())
    st.caption(
        f"{len(sample)} answers drawn at random (seed {seed}); the first {parts} are those on which the judges part. "
        "Write your own label beside an answer: precision and recall follow."
    )
    shown = sample.assign(label="")[["label", "verdict", "prompt", "answer", "cost", "degenerate", "part"]]
    numbers = Typeset(shown, {"cost": decimals(1)})
    edited = st.data_editor(
        numbers.data,
        hide_index=True,
        height=420,
        placeholder="–",
        disabled=[str(c) for c in shown if c != "label"],
        key=f"audit_{run.name}_{direction}_{cell}_{n}_{seed}",
        column_config={
            "label": st.column_config.SelectboxColumn("Your label", options=list(LABELS), width="small"),
            "verdict": st.column_config.TextColumn("Verdict", width="small"),
            "prompt": st.column_config.TextColumn("Prompt", width="medium"),
            "answer": st.column_config.TextColumn("Answer", width="large"),
            "cost": numbers.column("cost", "Cost", width="small"),
            "degenerate": st.column_config.CheckboxColumn("Degenerate", width="small"),
            "part": st.column_config.CheckboxColumn("Judges part", width="small"),
        },
    )
    labels = dict(zip(sample["key"], edited["label"].fillna(""), strict=True))
    st.markdown(audit_sentence(measured(sample, labels)))
    labelled = sample.assign(label=[labels[key] for key in sample["key"]])
    download_csv("CSV with your labels", f"audit-{run.name}.csv", lambda: labelled, "audit_csv")


def _choose(run: Run, answers: pd.DataFrame, direction: str) -> tuple[Cell, int, int]:
    """The cell, the size of the sample and its seed."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        suites = list(answers["suite"].unique())
        suite = st.selectbox("Prompts", suites, format_func=suite_label, key="audit_suite", bind="query-params")
        mine = answers[answers["suite"] == suite]
        words = COLUMNS[direction]
        columns = [c for c in words if (mine["column"] == c).any()]
        column = st.selectbox("Answers of", columns, format_func=words.__getitem__, key="audit_column")
        kind, fraction, ranking = "", None, ""
        if column == "patched":
            patched = mine[mine["column"] == "patched"]
            ranking = choose_ranking(run, direction, "audit_ranking", set(patched["ranking"]))
            patched = patched[patched["ranking"] == ranking]
            kind = st.selectbox("Neurons", list(patched["set"].unique()), key="audit_set")
            fractions = sorted(patched.loc[patched["set"] == kind, "fraction"].unique())
            fraction = st.selectbox("Share", fractions, format_func=percent, key="audit_fraction")
        n = int(st.number_input("Answers to read", 1, MOST, 50, key="audit_n"))
        seed = int(st.number_input("Seed", 0, 10_000, 0, key="audit_seed"))
    return Cell(suite, column, kind, fraction, ranking), min(max(n, 1), MOST), seed
