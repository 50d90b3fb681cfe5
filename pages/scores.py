"""Scores: how far do the shipped scorers agree with people?"""

import streamlit as st

from explorer.charts.agreement import reliability_chart
from explorer.charts.matrix import curve_chart, interval_chart
from explorer.ui import agreement
from explorer.ui.router import route_first_visit
from explorer.ui.runs import explained
from explorer.ui.widgets import caption_and_csv, show_chart

route_first_visit()
st.title("How far do the scores agree with people?")
st.markdown(
    "Cost, reward and refusals on all pages come from scorers that ship with the project, unless a run names a judge "
    "in their place. Here they are held against what people say of the same texts."
)
with explained():
    found = agreement.read_agreement()
if found is None:
    st.info(f"Nothing is measured yet; run `{agreement.COMMAND}` to measure it.", icon=":material/info:")
    st.stop()
auroc, calibration, refusal, length = found.auroc, found.calibration, found.refusal, found.length

if len(auroc):
    st.subheader("Do cost and reward put texts in people's order?")
    st.markdown(agreement.order_sentence(auroc))
    show_chart(
        interval_chart(agreement.order_frame(auroc), "AUROC (0.5 is chance)", share=False, zero=False),
        "AUROC of cost and reward on every set of labels, with 95 % intervals",
    )
    st.dataframe(agreement.order_rows(auroc), hide_index=True, alt="AUROC of cost and reward, with intervals")
    caption_and_csv(
        "AUROC: how often a text that people call harmful costs more than one that they do not, or the one that they "
        "prefer has the higher reward.",
        "scores-auroc.csv",
        lambda: auroc,
        "auroc_csv",
    )

if len(calibration):
    st.subheader("Does the cost mean the probability that it says?")
    show_chart(
        reliability_chart(calibration.rename(columns={"set": "series"})),
        "Share that people call harmful against the probability of harm that demo-cost gives, with the diagonal",
    )
    caption_and_csv(
        "The cost as a probability, 1 / (1 + exp(−cost)), in bins. On the dashed line people agree with it; below it "
        "the scorer sees too much harm, above it too little. Bars are 95 % intervals.",
        "scores-calibration.csv",
        lambda: calibration,
        "calibration_csv",
    )

if len(refusal):
    st.subheader("Are refusals found, and nothing else?")
    st.markdown(agreement.refusal_sentence(refusal))
    st.dataframe(agreement.refusal_rows(refusal), hide_index=True, alt="What people and the refusal scorer say")
    caption_and_csv(
        "Counts of answers: people's label in the rows, the refusal scorer's in the columns. The answers are the "
        "project's own; the phrases were extended after what they missed here had been read, so these figures are not "
        "held out.",
        "scores-refusal.csv",
        lambda: refusal,
        "refusal_csv",
    )

if len(length):
    st.subheader("How much of an answer must the cost read?")
    tokens = "Tokens of the answer that are read"
    show_chart(
        curve_chart(agreement.length_order(length), tokens, "AUROC of the cost", share=False),
        "AUROC of the cost against the tokens that it reads, with 95 % intervals",
    )
    show_chart(
        curve_chart(agreement.length_means(length), tokens, "Mean cost (above 0 harmful)", share=False),
        "Mean cost of harmful and of harmless texts against the tokens that it reads",
    )
    caption_and_csv(
        "The same texts, cut after so many tokens. Compare costs only between answers of one length limit.",
        "scores-length.csv",
        lambda: length,
        "length_csv",
    )
