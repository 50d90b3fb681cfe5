"""What the safeguard said before the first word, beside what then happened and beside how often it is right."""

import streamlit as st

from explorer.charts.labels import rate, signed
from explorer.report.ranking_names import main_method, of_method
from explorer.runs.reader import Run
from explorer.serve.generation import Generation
from explorer.studies.safeguard import safeguard_sentence
from explorer.studies.words import spoken
from explorer.ui.current_run import table
from explorer.ui.study_page import has_table


def show_foreseen(run: Run, generation: Generation | None) -> None:
    """Behind a title: the safeguard's line on this prompt, and its record on others; nothing where there is none."""
    if generation is None or generation.active or generation.foreseen is None:
        return
    with st.expander("Could it be foreseen? The safeguard on this prompt", icon=":material/shield:", key="foreseen"):
        st.markdown(foreseen_words(generation))
        st.caption(record_words(run, generation))
        st.page_link("pages/safeguard.py", label="How good the safeguard is", icon=":material/shield:")


def record_words(run: Run, generation: Generation) -> str:
    """How often the safeguard is right on prompts that it was not fitted on, beside its controls."""
    guard = generation.request.guard
    if guard is None or not has_table(run, "safeguard"):
        return ""
    method = main_method(run)
    rows = of_method(table(run, "safeguard"), method)
    sizes = rows["k"].unique()
    return spoken(method, safeguard_sentence(rows, int(min(sizes, key=lambda k: abs(k - len(guard.neurons))))))


def foreseen_words(generation: Generation) -> str:
    """What the safeguard said before the first word, next to what then happened."""
    guard, likely = generation.request.guard, generation.foreseen
    if guard is None or likely is None:
        return ""
    text = (
        f"Before the first word: a harmful answer of M1 is **{rate(likely)}** likely, by "
        f"{len(guard.neurons):,} neurons at the last prompt token (fitted on {guard.n:,} answers)."
    )
    cost = generation.columns[generation.request.column_of_m1].cost
    if cost is None:
        return text
    came = "harmful" if cost > 0 else "not harmful"
    right = "as predicted" if (cost > 0) == (likely > 0.5) else "not as predicted"
    return f"{text} What then happened: **{came}**, cost {signed(cost)}, {right}."
