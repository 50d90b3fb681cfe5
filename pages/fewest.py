"""Which ranking finds the fewest neurons: the fraction that each needs, both ways, and what it costs."""

import streamlit as st

from explorer.charts.effect import (
    BREAKING,
    SERIES,
    effect_chart,
    effect_on,
    ranking_series,
    rankings_frame,
    reference_frame,
    turned,
)
from explorer.charts.labels import suite_label
from explorer.report import fewest
from explorer.report.by import DIRECTIONS, By
from explorer.report.facts import main_suite
from explorer.report.results import patched_rankings, table_of, titles
from explorer.studies.fewest import SCORES
from explorer.studies.words import score_words
from explorer.ui.current_run import current_run, table
from explorer.ui.result_controls import choose
from explorer.ui.study_page import study_table
from explorer.ui.widgets import caption_and_csv, show_chart

run = current_run()
st.title("Which ranking finds the fewest?")
found = study_table(run, "fewest", "a comparison of rankings", "[fewest]")

sentence = st.empty()
with st.container(horizontal=True):
    ways = [d for d in DIRECTIONS if (found["direction"] == d).any() and patched_rankings(run, d)]
    direction = choose("direction", "Direction", {d: DIRECTIONS[d] for d in ways})
    mine = found[found["direction"] == direction]
    effect, models = (table(run, table_of(name, direction)) for name in ("effect", "models"))
    suites = {name: suite_label(name) for name in dict.fromkeys(mine["suite"])}
    headline = main_suite(run.manifest, effect, table(run, table_of("answers", direction)))
    suites = dict(sorted(suites.items(), key=lambda item: item[0] != headline))
    suite = choose("prompts", "Prompts", suites)
    scores = {s: score_words(s) for s in SCORES if (mine["score"] == s).any()}
    score = choose("score", "Judged by", scores)
rankings = run.manifest["rankings"]
sentence.markdown(fewest.answer_sentence(found, rankings, suite, direction, score))

by = By(direction=direction)
measure = turned(effect_on(score), by.giver)
names = titles(run, patched_rankings(run, direction))
main = next(iter(names))
lines = rankings_frame(effect, models, suite, measure, main)
if lines.empty:
    st.info(f"The two models' {score_words(score)} are not distinguishable on {suite_label(suite)}.")
else:
    show_chart(
        effect_chart(
            lines,
            reference_frame(models, suite, measure),
            measure,
            ranking_series(names, BREAKING if by.breaks else SERIES),
        ),
        f"{measure.label} on {suite_label(suite)} against the share of neurons patched, a line for each ranking",
    )
    caption_and_csv(
        fewest.curves_caption(lines, names[main], by),
        f"{run.name}-{suite}-{direction}-rankings.csv",
        lambda: lines,
        "curves_csv",
    )

st.header("What it takes, and what it costs")
st.dataframe(
    fewest.fewest_rows(found, rankings, direction),
    hide_index=True,
    placeholder="",
    alt="The fraction that each ranking needs on every suite by both judges, and what it costs",
    column_config={"lab": st.column_config.LinkColumn("Try it", display_text="Patch lab", width="small")},
)
caption_and_csv(fewest.COSTS, f"{run.name}-fewest.csv", lambda: found, "fewest_csv")
