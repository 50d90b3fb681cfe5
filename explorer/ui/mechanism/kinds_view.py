"""Kinds of neurons on the Mechanism page: how clearly the set parts, what each kind does, writes and carries."""

import pandas as pd
import streamlit as st

from explorer.charts.labels import suite_label
from explorer.charts.matrix import curve_chart, interval_chart, matrix_chart
from explorer.report.kinds import (
    PROFILE,
    causal_frame,
    kind_label,
    neurons_frame,
    profile_frame,
    prompts_frame,
    structure_frame,
    tokens_frame,
)
from explorer.runs.reader import Run
from explorer.studies.kinds_words import kinds_sentence
from explorer.ui.current_run import table
from explorer.ui.result_controls import choose
from explorer.ui.study_page import has_table, pick, show_matrix, show_prompts
from explorer.ui.typeset import Typeset, decimals, digits
from explorer.ui.widgets import caption_and_csv, say, show_chart

_KIND = "kind"
_FORMS = {
    "silhouette": decimals(2),
    "score": digits(3),
    "mean1": decimals(3),
    "mean2": decimals(3),
    "change": decimals(3),
}


def show_kinds(run: Run) -> None:
    """All of the study."""
    kinds, structure, profile = (table(run, name) for name in ("kinds", "kinds_structure", "kinds_profile"))
    say(kinds_sentence(kinds, structure))
    first = kinds.iloc[0]
    st.header("What each kind carries")
    show_chart(
        interval_chart(causal_frame(kinds), "Share of answers that refuse", share=True),
        "Refusals with each kind patched alone and left out of the set, beside as many neurons at random",
    )
    about = (
        f"On {suite_label(first['suite'])}, n = {int(first['n']):,}, up to {int(first['max_new_tokens'])} tokens; 95 % "
        "intervals. Beside each kind as many neurons of the set, drawn at random. The CSV also holds cost, degenerate "
        "answers, layers and the kind's share of the scores."
    )
    caption_and_csv(about, f"{run.name}-kinds.csv", lambda: kinds, "kinds_csv")
    chosen = _show_profile(run, profile, kinds)
    _show_kind(run, chosen, kinds)
    st.header("Are there kinds at all?")
    show_chart(
        curve_chart(structure_frame(structure), "Clusters", "Mean silhouette", share=False, log=False),
        "Mean silhouette by the number of clusters, of top sets and of random neurons",
    )
    about = (
        "k-means on standardised features of each neuron: how much M2 changes it in every segment of the texts of "
        "every suite, its sign in both models, its score and its layer. A silhouette of 1 means clusters far apart, 0 "
        "none; the band spans the random draws, clustered in the same way."
    )
    caption_and_csv(about, f"{run.name}-kinds-structure.csv", lambda: structure, "kinds_structure_csv")


def _show_profile(run: Run, profile: pd.DataFrame, kinds: pd.DataFrame) -> int:
    """Where in a text each kind acts; the kind that is chosen there."""
    st.header("Where in a text they act")
    with st.container(horizontal=True):
        suite = pick("Prompts", list(dict.fromkeys(profile["suite"])), "kinds_suite", suite_label)
        chosen = choose(_KIND, "Kind", {str(kind): kind_label(int(kind)) for kind in kinds["kind"]})
    cells = profile_frame(profile, suite)
    show_matrix(
        matrix_chart(cells, PROFILE, ("", chosen)),
        "kinds_profile_chart",
        {"name": _KIND},
        "How much M2 changes each kind in each segment of a text, over its average",
    )
    about = (
        "Mean |M2's activation − M1's| in the segment, over the same neuron's own mean on the first suite; 1 is its "
        "average. Both models read the prompt with M2's answer. Click a row to open its kind."
    )
    caption_and_csv(about, f"{run.name}-kinds-profile.csv", lambda: profile, "kinds_profile_csv")
    return int(chosen)


def _show_kind(run: Run, kind: int, kinds: pd.DataFrame) -> None:
    row = kinds[kinds["kind"] == kind].iloc[0]
    st.header(f"{kind_label(kind)}: {int(row['neurons']):,} neurons")
    st.markdown(
        f"Median layer {row['layer']:.0f} (a tenth below {row['layer_first']:.0f}, a tenth above "
        f"{row['layer_last']:.0f}); {100 * row['score_share']:.0f} % of the set's score; M2 raises the mean activation "
        f"of {100 * row['raised']:.0f} % of them."
    )
    if has_table(run, "kinds_tokens"):
        logits = Typeset(
            tokens_frame(table(run, "kinds_tokens"), kind), {"up_logit": decimals(2), "down_logit": decimals(2)}
        )
        st.dataframe(
            logits.data,
            hide_index=True,
            alt="Tokens that the kind promotes and suppresses",
            column_config={
                "place": logits.column("place", "Place", width="small"),
                "up": "Promotes",
                "up_logit": logits.column("up_logit", "Logit"),
                "down": "Suppresses",
                "down_logit": logits.column("down_logit", "Logit "),
            },
        )
        st.caption(
            "The neurons' output columns times their mean change where the answer is predicted, through the last norm "
            "and the unembedding; logits less their mean over the vocabulary."
        )
    neurons = neurons_frame(table(run, "kinds_neurons"), kind)
    numbers = Typeset(neurons, _FORMS)
    st.dataframe(
        numbers.data,
        hide_index=True,
        height=320,
        alt="The neurons of the kind with their scores and mean activations",
        column_config={
            "rank": "Rank",
            "layer": "Layer",
            "neuron": "Neuron",
            "silhouette": numbers.column("silhouette", "Silhouette"),
            "score": numbers.column("score", "Score"),
            "mean1": numbers.column("mean1", "Mean in M1"),
            "mean2": numbers.column("mean2", "Mean in M2"),
            "change": numbers.column("change", "Mean |change|"),
            "look": st.column_config.LinkColumn("Detail", display_text="Open", width="small"),
        },
    )
    if has_table(run, "kinds_prompts"):
        show_prompts(
            prompts_frame(table(run, "kinds_prompts"), kind),
            "The prompts on which M2 changes the kind most",
            ranking=row["ranking"],
            fraction=row["fraction"],
        )
    about = "Prompts on which M2 changes the kind most, over its neurons' average; beside it the whole set's."
    caption_and_csv(about, f"{run.name}-kind-{kind}.csv", lambda: neurons.drop(columns="look"), "kind_neurons_csv")
