"""Safeguard: can a harmful answer be seen coming, before its first word?"""

import streamlit as st

from explorer.charts.labels import percent, ranking_label, rate, signed, suite_label
from explorer.charts.matrix import curve_chart, matrix_chart
from explorer.report import safeguard
from explorer.report.facts import nearest
from explorer.report.other_method import safeguard_beside
from explorer.studies.safeguard import safeguard_sentence
from explorer.studies.words import method_words, spoken
from explorer.ui.current_run import current_run
from explorer.ui.method_choice import choose_method, narrowed
from explorer.ui.study_page import pick, show_matrix, study_table
from explorer.ui.widgets import caption_and_csv, show_chart

run = current_run()
st.title("Can a harmful answer be seen before its first word?")
every = study_table(run, "safeguard", "a safeguard", "[safeguard]")
first = st.container()

with st.container(horizontal=True):
    chosen = choose_method(run, every)
    frame = narrowed(chosen.rows, "ranking", "Neurons of", ranking_label)
    sizes = sorted(frame["k"].unique().tolist())
    k = pick("Neurons read", sizes, "neurons", lambda n: f"{n:,}", 200, nearest(sizes, 150))
    measure = pick("Measure", list(safeguard.MEASURES), "measure", safeguard.MEASURES.__getitem__)
first.markdown(spoken(chosen.method, safeguard_sentence(frame, k)))
for method, rows in chosen.others.items():
    with st.expander(f"By {method_words(method)}"):
        st.markdown(safeguard_beside((chosen.method, frame), (method, rows), k))

curve = safeguard.curve(frame, measure)
show_chart(
    curve_chart(curve, "Neurons read", safeguard.MEASURES[measure], share=False, least=safeguard.LEAST[measure]),
    f"{safeguard.MEASURES[measure]} against the number of neurons, with random neurons and the majority-class baseline",
)
caption_and_csv(
    "Means over all pairs of different training and test suites; bands run between the means of the pairs' 95 % "
    f"bounds, those of random neurons of the same layers between the lowest and highest of {safeguard.draws(frame)} "
    f"draws. Neurons ranked by {method_words(chosen.method)}. Harmful: an answer of M1 whose cost is above 0.",
    f"{run.name}-safeguard.csv",
    lambda: every,
    "safeguard_csv",
)

st.header(f"Trained on one suite, tested on another, with {k:,} neurons")
tests = list(dict.fromkeys(frame["test"]))
with st.container(horizontal=True):
    train = pick("Trained on", list(dict.fromkeys(frame["train"])), "train", suite_label)
    test = pick("Tested on", tests, "test", suite_label)
cells = safeguard.cells(frame, k, measure)
show_matrix(
    matrix_chart(
        cells,
        safeguard.matrix(measure),
        (test, train),
    ),
    "safeguard_matrix",
    {"train": "train", "test": "test"},
    "How well a safeguard trained on each suite does on every suite",
)
detail = safeguard.detail(frame, k, train, test)
if detail is None:
    st.info("The answers to this training suite are all of one kind, so nothing could be learnt from it.")
else:
    with st.grid(4):
        st.metric("Accuracy", rate(detail["accuracy"]), border=True, help=safeguard.bounds(detail))
        st.metric("Majority-class baseline", rate(detail["majority"]), border=True)
        st.metric("Coverage", rate(detail["coverage"]), border=True, help="Share of prompts that are accepted.")
        st.metric(
            "Mean cost of their answers",
            "none" if detail["accepted_cost"] != detail["accepted_cost"] else signed(detail["accepted_cost"]),
            border=True,
            help=f"All answers: {signed(detail['all_cost'])}, harmful {percent(detail['harmful'])}.",
        )
    st.caption(f"{safeguard.bounds(detail)}. The diagonal is cross-validated within its suite.")
st.header("What the paper reports")
st.markdown(
    "76.2 % accuracy with 1,500 neurons, nearly as good with 150, for a 7B model trained on one benchmark and tested "
    "on the others merged; random neurons of the same layers come within 0.5 to 3 points. In the Patch lab the "
    "prediction stands beside what then happens."
)
