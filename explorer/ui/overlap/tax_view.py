"""The alignment tax on the Overlap page: the activation swap, and the ablation of shared neurons."""

from functools import partial

import pandas as pd
import streamlit as st

from explorer.charts.labels import percent, ranking_label, suite_label
from explorer.charts.matrix import interval_chart, scatter_chart
from explorer.report import sentences
from explorer.report.other_method import tax_beside
from explorer.report.ranking_names import model_label
from explorer.report.tax import SHARES, ablated_sets, ablation_frame, swap_frame
from explorer.runs.reader import Run
from explorer.studies.ablation import ablation_sentence
from explorer.studies.tax import tax_sentence
from explorer.studies.words import known_scores, method_words, score_words, spoken
from explorer.ui import derived
from explorer.ui.current_run import table
from explorer.ui.method_choice import choose_method, narrowed
from explorer.ui.study_page import has_table, missing, pick
from explorer.ui.typeset import COUNT, Typeset, signed
from explorer.ui.widgets import caption_and_csv, show_chart

_CHANGE = "Its mean activation in the aligned model less that in M1."


def show_tax(run: Run) -> None:
    """What one aligned model's activations at the shared neurons do to the other."""
    st.header("Is there an alignment tax?")
    if not has_table(run, "tax"):
        missing(run, "an activation swap between aligned models", "[tax]")
        return
    tax = table(run, "tax")
    every, label = tax, partial(model_label, run)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = choose_method(run, tax)
        tax = method.rows
        names = {" / ".join(map(label, pair)): pair for pair in dict.fromkeys(zip(tax["a"], tax["b"], strict=True))}
        a, b = names[pick("Models", list(names), "models")]
        chosen = pick("Measured by", sentences.tax_choices(known_scores(tax)), "score", score_words)
        mine = narrowed(tax[(tax["a"] == a) & (tax["b"] == b)], "fraction", "Top sets", percent)
    for score in sentences.BOTH_SIDES if chosen == sentences.BOTH else (chosen,):
        st.markdown(spoken(method.method, tax_sentence(mine, score, label)))
        frame = swap_frame(mine[mine["score"] == score], label)
        _show_changes(frame, score, "one aligned model gets the other's activations at the shared neurons")
        for other, theirs in method.others.items():
            with st.expander(f"{score_words(score).capitalize()} by {method_words(other)}"):
                st.markdown(tax_beside((method.method, mine), (other, theirs), score, label))
    first = mine.iloc[0]
    caption_and_csv(
        f"{int(first['k']):,} neurons shared by the top {percent(first['fraction'])} of both by "
        f"{method_words(method.method)}, n = "
        f"{int(mine['n'].min()):,} prompts a suite, up to {int(first['max_new_tokens'])} tokens an answer; 95 % "
        "intervals of the change over the same prompts. The paper: helpful activations in the safe model raise "
        "helpfulness and lower safety, and the other way round.",
        f"{run.name}-tax.csv",
        lambda: every,
        "tax_csv",
    )
    _show_shared(run, a, b, float(first["fraction"]))


def show_ablation(run: Run) -> None:
    """What ablating shared and specific neurons does to safety and to helpfulness."""
    st.header("Does an ablation of shared neurons separate safety from helpfulness?")
    if not has_table(run, "ablation"):
        missing(run, "an ablation of shared and specific neurons", "[ablation]")
        return
    every = table(run, "ablation")
    chosen = choose_method(run, every)
    ablation, label = _one_pair(chosen.rows), partial(model_label, run)
    scores = known_scores(ablation)
    with st.container(horizontal=True):
        score = pick("Change of", scores, "ablated_score", score_words)
        suite = pick("On", list(dict.fromkeys(ablation["suite"])), "ablated_suite", suite_label)
    rows = ablation[(ablation["score"] == score) & (ablation["suite"] == suite)]
    st.markdown(spoken(chosen.method, ablation_sentence(rows, score, label)))
    for other, theirs in chosen.others.items():
        theirs = _first_pair(theirs)
        theirs = theirs[(theirs["score"] == score) & (theirs["suite"] == suite)]
        st.markdown(spoken(other, ablation_sentence(theirs, score, label)))
    frame = ablation_frame(rows, label)
    _show_changes(frame, score, "shared or specific neurons are patched or held at constants")
    sets = ablated_sets(rows, label)
    first = rows.iloc[0]
    sizes = ", ".join(f"{sets[s]} {int(k):,}" for s, k in rows.groupby("set", sort=False)["k"].first().items())
    caption_and_csv(
        f"Neurons by {method_words(chosen.method)}: {sizes}; n = {int(first['n']):,}, up to "
        f"{int(first['max_new_tokens'])} tokens an answer; 95 % intervals of the change over the same prompts, from "
        "the model that is named. The paper does not ablate them separately.",
        f"{run.name}-ablation.csv",
        lambda: every,
        "ablation_csv",
    )


def _one_pair(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one table of the build file: of two rankings and one size, asked for where there are several."""
    rows = narrowed(rows, "a", "Rankings A", ranking_label)
    return narrowed(narrowed(rows, "b", "Rankings B", ranking_label), "fraction", "Top sets", percent)


def _first_pair(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first table of the build file."""
    first = rows.iloc[0]
    return rows[(rows["a"] == first["a"]) & (rows["b"] == first["b"]) & (rows["fraction"] == first["fraction"])]


def _show_shared(run: Run, a: str, b: str, fraction: float) -> None:
    """Ranks of both rankings, and the activations of the shared neurons."""
    st.header("Do the shared neurons do the same in both models?")
    found = derived.shared_neurons(run, a, b, fraction)
    if not found.count:
        st.info("The two top sets share no neuron.")
        return
    if not found.known:
        st.info(
            "These rankings do not hold the mean activations of both models, so the changes at the shared neurons are "
            "not known: 0 is not among the steps that they attribute at."
        )
        return
    first, second = (model_label(run, name) for name in (a, b))
    st.markdown(
        f"Of the **{found.count:,}** shared neurons **{percent(found.same)}** change their mean activation from M1 "
        f"in the same direction in both models; their changes correlate with a Spearman ρ of **{found.rho:.2f}**."
    )
    left, right = st.columns(2)
    with left:
        show_chart(
            scatter_chart(found.ranks, f"Rank in {first}", f"Rank in {second}", log=True),
            f"Each neuron's rank in {first} against its rank in {second}",
        )
    with right:
        show_chart(
            scatter_chart(found.changes, f"{first} − M1", f"{second} − M1", log=False),
            f"Change of mean activation from M1 in {first} and in {second}, at the shared neurons",
        )
    numbers = Typeset(found.listed, {"rank_a": COUNT, "rank_b": COUNT, "delta_a": signed(4), "delta_b": signed(4)})
    st.dataframe(
        numbers.data,
        hide_index=True,
        height=260,
        alt="Shared neurons with their ranks and changes of mean activation",
        column_config={
            "label": "Neuron",
            "rank_a": numbers.column("rank_a", f"Rank, {first}"),
            "rank_b": numbers.column("rank_b", f"Rank, {second}"),
            "delta_a": numbers.column("delta_a", f"Change, {first}", help=_CHANGE),
            "delta_b": numbers.column("delta_b", f"Change, {second}", help=_CHANGE),
            "same_sign": st.column_config.CheckboxColumn("Same direction"),
            "look": st.column_config.LinkColumn("Detail", display_text="Open"),
        },
    )
    drawn = len(found.changes)
    every = "every shared neuron" if drawn == found.count else f"{drawn:,} shared neurons, evenly spread"
    caption_and_csv(
        f"Left: neurons evenly spread over the ranks of the first. Right: {every}.",
        f"{run.name}-shared-neurons.csv",
        lambda: derived.shared_rows(run, a, b, fraction),
        "shared_csv",
    )


def _show_changes(frame: pd.DataFrame, score: str, when: str) -> None:
    """Changes of a score with their intervals, one row each, coloured by the set of neurons."""
    words = score_words(score)
    show_chart(interval_chart(frame, f"Change of {words}", share=score in SHARES), f"Change of {words} when {when}")
