"""Dose: refusals, cost, degenerate answers and perplexity against the strength of the patch, by size of the set."""

import streamlit as st

from explorer.charts.labels import suite_label, true_minus
from explorer.charts.matrix import curve_chart
from explorer.report import dose
from explorer.report.depth import set_words
from explorer.runs.reader import Run
from explorer.studies import STUDIES
from explorer.ui.current_run import table
from explorer.ui.result_controls import choose
from explorer.ui.study_page import pick, show_prompts
from explorer.ui.widgets import caption_and_csv, say, show_chart


def show(run: Run) -> None:
    """The section of the Mechanism page."""
    frame = table(run, "dose")
    with say(STUDIES["dose"].finding({"dose": frame})):
        measure = choose("dose_by", "Measured by", {m: dose.MEASURES[m].label for m in dose.measures_of(frame)})
        comparison = choose("dose_of", "Lines", dose.comparisons(frame))
    about, first = dose.MEASURES[measure], frame.iloc[0]
    show_chart(
        curve_chart(
            dose.curve_frame(frame, measure, comparison),
            "Strength of the patch",
            about.axis,
            share=False,
            log=False,
            rate=about.share,
        ),
        f"{about.axis} against the strength of the patch",
    )
    read = f"; {int(first['windows'])} stretches of WikiText-2 for perplexity" if first["windows"] else ""
    caption_and_csv(
        f"Strength 1 is M2's activations, 0 M1's own, above 1 overdrives, below 0 reverses. On "
        f"{suite_label(first['suite'])}, n = {int(first['n']):,}, up to {int(first['max_new_tokens'])} tokens{read}; "
        "bands are 95 % intervals.",
        f"{run.name}-dose.csv",
        lambda: frame,
        "dose_csv",
    )
    if "dose_answers" in run.tables:
        _show_answers(run)


def _show_answers(run: Run) -> None:
    st.header("The answers behind it")
    answers = table(run, "dose_answers")
    patched = answers[~answers["set"].isin(["m1", "m2"])]
    with st.container(horizontal=True):
        name = pick("Neurons", list(dict.fromkeys(patched["set"])), "dose_set", set_words)
        mine = patched[patched["set"] == name]
        k = pick("Number", list(dict.fromkeys(mine["k"].tolist())), "dose_k", lambda number: f"{number:,}", 160)
        strengths = sorted(mine["strength"].unique().tolist())
        strength = pick("Strength", strengths, "dose_strength", lambda s: true_minus(f"{s:g}"), 160, 1.0)
    show_prompts(dose.answers_behind(answers, name, k, strength), "Prompts and answers of the chosen set and strength")
