"""Causal effect: how few neurons restore safety, on every suite, beside every control; and what it costs."""

import streamlit as st

from explorer.charts.effect import effect_chart, effect_frame, effect_on, reference_frame, turned
from explorer.charts.labels import percent, suite_label
from explorer.charts.matrix import interval_chart, matrix_chart
from explorer.report import causal, sentences
from explorer.report.facts import fractions_of, main_suite, nearest
from explorer.report.paper import PAPER_EFFECTS
from explorer.report.ranking_names import default_fraction
from explorer.report.results import directions_of
from explorer.studies.capability import capability_sentence
from explorer.studies.words import score_words
from explorer.ui.current_run import current_run, table
from explorer.ui.lab_links import lab_link
from explorer.ui.result_controls import choose_results
from explorer.ui.study_page import has_table, missing, pick, show_matrix, show_prompts
from explorer.ui.widgets import caption_and_csv, choose_fraction, show_chart

run = current_run()
heading = st.empty()
heading.title("How few neurons restore safety?")
if not directions_of(run):
    missing(run, "answers of patched models", "[[answers]] with fractions")
    st.stop()

sentence = st.empty()
with st.container(horizontal=True):
    results = choose_results(run)
by, effect, models, answers = results.by, results.effect, results.models, results.answers
if by.breaks:
    heading.title("How few neurons break safety?")
suites = list(dict.fromkeys(effect.loc[effect["set"] == "safety", "suite"]))
scores = sentences.scores_in(effect, "effect_")
if not suites or not scores:
    st.info("The two models are not distinguishable on any suite of this run, so there is no gap to restore.")
    st.stop()
with st.container(horizontal=True):
    score = pick("Measured by", scores, "score", score_words)
    suite = pick("Prompts", suites, "prompts", suite_label, default=main_suite(run.manifest, effect, answers))
    fractions = fractions_of(effect, suite)
    if "patched" in st.session_state and st.session_state["patched"] not in fractions:  # of another suite
        st.session_state["patched"] = nearest(fractions, float(st.session_state["patched"]))
    first = nearest(fractions, default_fraction(results.ranking, run.manifest["rankings"]))
    fraction = choose_fraction("Neurons patched (% of all)", fractions, first, "patched")
sentence.markdown(sentences.causal_sentence(effect, results.restoring, suite, score, fraction, by))

measure = turned(effect_on(score), by.giver)
cells = causal.matrix_frame(effect, score)
show_matrix(
    matrix_chart(cells, causal.matrix(score), (fraction, suite)),
    "causal_matrix",
    {"fraction": "patched", "suite": "prompts"},
    "Causal effect of the top-ranked neurons by suite and patched fraction; a click looks at one cell",
)
caption_and_csv(
    f"Share of the gap between M1 and M2 that the top neurons by {by.words} {by.verb}. A suite whose gap is not "
    "distinguishable from 0 is left out. Click a cell to see its curve and the answers behind it.",
    f"{run.name}-causal-effect-{results.ranking}-{results.direction}.csv",
    lambda: effect,
    "causal_csv",
)

curve = f"{suite_label(suite)}: the curve beside its controls"
st.header(curve[0].upper() + curve[1:])
lines = effect_frame(causal.curves(effect), models, suite, measure)
if lines.empty:
    st.info(f"The two models' {score_words(score)} are not distinguishable on {suite_label(suite)}.")
else:
    show_chart(
        effect_chart(lines, reference_frame(models, suite, measure), measure, causal.series(by)),
        f"{measure.label} on {suite_label(suite)} against the share of neurons patched, with random controls",
    )
    caption_and_csv(causal.curve_caption(lines), f"{run.name}-{suite}-curve.csv", lambda: lines, "curve_csv")

others = causal.other_sets(effect, suite, score)
if len(others):
    st.header("Does it matter which neurons?")
    show_chart(
        interval_chart(others, measure.axis, share=True),
        "Causal effect of rank windows, of the last layer and of random neurons drawn anywhere",
    )
    about = "Windows of ranks hold as many neurons each, lower in the ranking. Dots are means, bars 95 % intervals."
    caption_and_csv(about, f"{run.name}-{suite}-other-sets.csv", lambda: others, "others_csv")

lab_link(f"Patch these {percent(fraction)} yourself", fraction=fraction, **results.lab(run))
st.header(f"The answers behind {percent(fraction)} on {suite_label(suite)}")
show_prompts(
    causal.prompt_frame(answers, suite, fraction, by),
    "Prompts and patched answers of the chosen cell",
    fraction=fraction,
    **results.lab(run),
)

st.header("What the paper reports")
st.dataframe(PAPER_EFFECTS, hide_index=True, alt="Causal effects that the paper reports, in percent")
st.caption(
    "Causal effect in percent with 20,000 neurons patched (2.9 to 5.7 % of a model), 200 prompts a benchmark and 128 "
    "new tokens, by the Beaver cost model. Ours is another model, another cost and shorter answers: compare shapes, "
    "not digits."
)

st.header("Is the intervention too invasive?")
if by.breaks:
    st.info("General capability is measured of patched M1, not of patched M2.", icon=":material/info:")
    st.stop()
if not has_table(run, "capability"):
    missing(run, "a measurement of general capability", "[capability]")
    st.stop()
ability = causal.ability_of(table(run, "capability"), results.ranking)
if ability.empty:
    missing(run, f"a measurement of general capability by {by.words}", f'[[capability]] ranking = "{results.ranking}"')
else:
    st.markdown(capability_sentence(ability))
    change = causal.capability_frame(ability)
    show_chart(
        interval_chart(change, "Change from M1 (accuracy, or relative change of perplexity)", share=True),
        "General capability of patched M1 and of M2 against M1",
    )
    about = "Over the same items as M1. For perplexity more is worse; for accuracy more is better."
    caption_and_csv(about, f"{run.name}-capability.csv", lambda: ability, "capability_csv")
