"""Transfer: do neurons found on one kind of prompts work on another?"""

import streamlit as st

from explorer.charts.labels import percent, span
from explorer.charts.matrix import matrix_chart
from explorer.report import sentences, transfer
from explorer.report.other_method import transfer_beside
from explorer.report.ranking_names import of_method
from explorer.studies.transfer import transfer_sentence
from explorer.studies.words import method_words, score_words, spoken
from explorer.ui.current_run import current_run, table
from explorer.ui.method_choice import choose_method, narrowed
from explorer.ui.study_page import has_table, pick, show_matrix, show_prompts, study_table
from explorer.ui.widgets import caption_and_csv, say

run = current_run()
st.title("Do neurons found on one kind of prompts work on another?")
kinds = [name for name in ("transfer", "categories") if has_table(run, name)]
if not kinds:
    study_table(run, "transfer", "a transfer matrix", "[transfer] or [categories]")
with st.container(horizontal=True):
    kind = pick("Between", kinds, "between", transfer.KINDS.__getitem__)
    every = table(run, kind)
    chosen = choose_method(run, every)
    frame = narrowed(chosen.rows, "fraction", "Neurons patched", percent)
    scores = sentences.scores_in(frame, "effect_") or ["refusal"]
    score = pick("Measured by", scores, "score", score_words)
beside = [transfer_beside((chosen.method, frame), (method, rows), score) for method, rows in chosen.others.items()]
with say(" ".join([spoken(chosen.method, transfer_sentence(frame, score)), *beside])):
    source = pick("Found on", list(dict.fromkeys(frame["source"])), "source", transfer.kind_label)
    target = pick("Patched on", list(dict.fromkeys(frame["target"])), "target", transfer.kind_label)
cells = transfer.cells(frame, score)
show_matrix(
    matrix_chart(
        cells,
        transfer.MATRIX,
        (target, source),
    ),
    "transfer_matrix",
    {"source": "source", "target": "target"},
    "Causal effect of neurons found on each kind of prompts, on every kind of prompts",
)
first = frame.iloc[0]
caption_and_csv(
    f"Share of the gap between M1 and M2 restored with {int(first['k']):,} neurons ({percent(first['fraction'])}) by "
    f"{method_words(chosen.method)}, "
    f"n = {span(frame['n'].min(), frame['n'].max())} a cell, up to {int(first['max_new_tokens'])} tokens "
    "an answer. Empty: the gap on those prompts is not distinguishable from 0. Click a cell for the answers behind it.",
    f"{run.name}-{kind}.csv",
    lambda: every,
    "transfer_csv",
)

st.header(f"Found on {transfer.kind_label(source)}, patched on {transfer.kind_label(target)}")
behind = transfer.answers_behind(of_method(table(run, f"{kind}_answers"), chosen.method), source, target)
show_prompts(
    behind, "Prompts and patched answers of the chosen cell", **transfer.lab_controls(run.rankings, source, first)
)
st.caption("The paper leaves transfer between kinds of harm open; there is no figure of it to set beside this.")
