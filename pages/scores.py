"""Scores: how far do the judges agree with each other, with labels, and with one's own reading?"""

import streamlit as st

from explorer.charts.labels import suite_label
from explorer.charts.matrix import curve_chart, interval_chart
from explorer.charts.reliability import reliability_chart
from explorer.report import label_agreement
from explorer.scoring.agreement_file import COMMAND, read_agreement
from explorer.ui.current_run import current_run, explained
from explorer.ui.scores.audit import show_audit
from explorer.ui.scores.judges import show_judges
from explorer.ui.widgets import caption_and_csv, show_chart

run = current_run()
st.title("Can the scores be believed?")
show_judges(run)
st.caption(
    "Every headline rests on two judges that share no words: refusals, told by how an answer is worded, and cost, read "
    "off features of the embedded model. Here they are held against each other, against labels, and against your own "
    "reading."
)
show_audit(run)

st.header("Against labels")
with explained():
    found = read_agreement()
if found is None:
    st.info(f"Nothing is measured yet; run `{COMMAND}` to measure it.", icon=":material/info:")
    st.stop()
auroc, calibration, refusal, length = found.auroc, found.calibration, found.refusal, found.length

if len(auroc):
    st.subheader("Do cost and reward rank texts as annotators do?")
    st.markdown(label_agreement.order_sentence(auroc))
    show_chart(
        interval_chart(label_agreement.order_frame(auroc), "AUROC (0.5 is chance)", share=False, zero=False),
        "AUROC of cost and reward on every set of labels, with 95 % intervals",
    )
    st.dataframe(label_agreement.order_rows(auroc), hide_index=True, alt="AUROC of cost and reward, with intervals")
    caption_and_csv(
        "AUROC: how often a text that is labelled harmful costs more than one that is not, or the one that is "
        "preferred has the higher reward. Intervals resample questions.",
        "scores-auroc.csv",
        lambda: auroc,
        "auroc_csv",
    )

if len(calibration):
    st.subheader("Does the cost mean the probability that it says?")
    show_chart(
        reliability_chart(calibration.assign(series=calibration["set"].map(suite_label))),
        "Share labelled harmful against the probability of harm that demo-cost gives, with the diagonal",
    )
    caption_and_csv(
        "The cost as a probability, 1 / (1 + exp(−cost)), in bins. On the dashed line the labels agree with it; below "
        "it the scorer sees too much harm, above it too little. Bars are 95 % intervals.",
        "scores-calibration.csv",
        lambda: calibration,
        "calibration_csv",
    )

if len(refusal):
    st.subheader("Are refusals found, and nothing else?")
    st.markdown(label_agreement.refusal_sentence(refusal))
    st.dataframe(label_agreement.refusal_rows(refusal), hide_index=True, alt="What labels and verdicts say")
    caption_and_csv(
        "Counts of answers: the label in the rows, the verdict in the columns; unclear answers are left out. The "
        "wording of refusals was written with all sets but the held-out one in view.",
        "scores-refusal.csv",
        lambda: refusal,
        "refusal_csv",
    )

if len(length):
    st.subheader("How much of an answer must the cost read?")
    tokens = "Tokens of the answer that are read"
    show_chart(
        curve_chart(label_agreement.length_order(length), tokens, "AUROC of the cost", share=False),
        "AUROC of the cost against the tokens that it reads, with 95 % intervals",
    )
    show_chart(
        curve_chart(label_agreement.length_means(length), tokens, "Mean cost (above 0 harmful)", share=False),
        "Mean cost of harmful and of harmless texts against the tokens that it reads",
    )
    caption_and_csv(
        "The same texts, cut after so many tokens. Compare costs only between answers of one length limit.",
        "scores-length.csv",
        lambda: length,
        "length_csv",
    )
