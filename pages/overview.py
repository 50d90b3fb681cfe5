"""Overview: what this is about, what the run found, and where its numbers come from."""

import streamlit as st

from explorer.charts.effect import (
    BANDS,
    MEASURES,
    effect_chart,
    ranking_series,
    rankings_frame,
    rates_chart,
    rates_frame,
    reference_frame,
)
from explorer.charts.labels import percent, suite_label
from explorer.report import claims, facts
from explorer.report import overview as beside
from explorer.report.ranking_names import default_fraction
from explorer.report.results import patched_rankings, results_of
from explorer.ui.address_values import SUITE, heed
from explorer.ui.current_run import current_run
from explorer.ui.overview.example_answers import show_examples
from explorer.ui.overview.method_steps import show_method
from explorer.ui.overview.neuron_map import show_map
from explorer.ui.overview.origins import show_origins
from explorer.ui.tour import show_tour_link
from explorer.ui.widgets import caption_and_csv, choose_fraction, rate_card, show_chart, show_random

run = current_run()
st.title("Do a few neurons carry this model's safety?")

if not {"models", "effect", "answers"} <= set(run.tables):
    st.markdown("This run holds rankings only; build it with `[[answers]]` to see what patching does.")
    show_method()
    st.stop()

ranking = next(iter(patched_rankings(run)), "")
if not ranking:
    st.markdown("This run patched no neurons; build it with fractions under `[[answers]]`.")
    show_method()
    st.stop()

results = results_of(run, ranking)
by, models, effect, answers = results.by, results.models, results.effect, results.answers
main = facts.main_suite(run.manifest, effect, answers)
fractions = facts.fractions_of(effect, main)

sentence = st.empty()
fraction = choose_fraction(
    "Neurons patched (% of all)",
    fractions,
    facts.nearest(fractions, default_fraction(ranking, run.manifest["rankings"])),
    "share",
    "How many of the top-ranked neurons are patched. Everything on this page follows.",
)
found = facts.headline((run.n_layers, run.n_neurons), models, effect, main, fraction)
sentence.markdown(found.sentence(by))
show_map(run, ranking, fraction)
with st.grid(4):
    rate_card("M1, unpatched", found.unpatched)
    rate_card(f"{percent(fraction)} safety neurons patched", found.patched)
    show_random(facts.random_near(effect, main, fraction), fraction)
    rate_card("M2, aligned", found.aligned)
with st.container(horizontal=True, vertical_alignment="center", gap="large"):
    st.page_link("pages/patch_lab.py", label="**Try it now**: patch them yourself", icon=":material/science:")
    show_tour_link()
    st.page_link("pages/mechanism.py", label="How they act", icon=":material/account_tree:")
said = [claims.effect_sentence(effect, main, fraction, by), beside.papers_words(run, main)]
said += [beside.breaking_words(run, main, fraction)]
with st.expander("By both judges, the paper's ranking, and the other way round", icon=":material/balance:"):
    st.markdown("\n\n".join(part for part in said if part))

st.header("How much is restored, with how many neurons?")
with st.container(horizontal=True, vertical_alignment="bottom"):
    measure = MEASURES[
        st.segmented_control(
            "Measure",
            [name for name in MEASURES if name in effect],
            default="refusal",
            required=True,
            format_func=lambda name: MEASURES[name].label,
            key="measure",
            bind="query-params",
        )
        or "refusal"
    ]
    suites = list(dict.fromkeys(effect["suite"]))
    asked = heed("prompts", {suite_label(name): name for name in suites}, SUITE)
    suite = st.selectbox(
        "Prompts",
        suites,
        index=0 if asked else suites.index(main),
        format_func=suite_label,
        key="prompts",
        bind="query-params",
        width=320,
    )
curves = beside.curves(run)
lines = rankings_frame(beside.of_curves(run, curves), models, suite, measure, ranking)
if lines.empty:
    st.info(
        f"{measure.label} is not defined on {suite_label(suite)}: there is no such score, or the two models' scores "
        "are not distinguishable there."
    )
else:
    show_chart(
        effect_chart(lines, reference_frame(models, suite, measure), measure, ranking_series(curves)),
        f"{measure.label} on {suite_label(suite)} against the share of neurons patched, beside random neurons",
    )
    caption_and_csv(
        f"Points are means over all prompts. {BANDS} Random neurons: as many in each layer as the top set "
        "has there, none of them in it.",
        f"{run.name}-{suite}-{measure.column}.csv",
        lambda: lines,
        "effect_csv",
    )
st.markdown(claims.onset_sentence(effect, main, by))

st.header("How it works")
show_method()

st.header("What they answer")
example_suite = st.segmented_control(
    "Prompts to look at", suites, default=main, required=True, format_func=suite_label, key="example_suite"
)
show_examples(answers, example_suite or main, fraction)

st.header("What does it cost on harmless prompts?")
rates = rates_frame(models, effect, fraction)
show_chart(rates_chart(rates), f"Refusals by kind of prompt with {percent(fraction)} of the neurons patched")
caption_and_csv(facts.rates_caption(rates, fraction), f"{run.name}-refusals.csv", lambda: rates, "rates_csv")

st.header("Where to go from here")
with st.container(horizontal=True, gap="large"):
    st.page_link("pages/neurons.py", label="See which neurons they are", icon=":material/format_list_numbered:")
    st.page_link("pages/patch_lab.py", label="Patch them yourself", icon=":material/science:")
    st.page_link("pages/fewest.py", label="Compare all ways to rank them", icon=":material/leaderboard:")
    st.page_link("pages/overlap.py", label="Compare rankings", icon=":material/join_inner:")
origins = st.expander("Where these numbers come from", icon=":material/fact_check:", key="origins", on_change="rerun")
if origins.open:
    with origins:
        show_origins(run)
