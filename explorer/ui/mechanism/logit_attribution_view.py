"""Direct logit attribution: what sets write straight to the logits, by layer and by neuron, on which tokens."""

import pandas as pd
import streamlit as st

from explorer.charts.matrix import interval_chart
from explorer.report.logits import (
    CHANGE_AXIS,
    direct_chart,
    neurons_frame,
    of_size,
    parts_chart,
    sets_of,
    tokens_frame,
    whole_frame,
)
from explorer.runs.reader import Run
from explorer.studies.first_tokens import tokens_sentence
from explorer.studies.logit_attribution import LogitAttribution
from explorer.ui.current_run import table
from explorer.ui.result_controls import choose
from explorer.ui.study_page import has_table, show_prompts
from explorer.ui.typeset import SHARE, Typeset, decimals, digits
from explorer.ui.widgets import caption_and_csv, say, show_chart


def show_logit_attribution(run: Run) -> None:
    """All of the study."""
    parts = table(run, "logit_attribution")
    say(LogitAttribution().finding({"logit_attribution": parts}))
    _show_direct(run, parts)
    name = choose("logit_set", "Set", sets_of(parts))
    _show_parts(run, parts, name)
    if has_table(run, "logit_attribution_neurons") and name != "m2":
        _show_neurons(run, name)
    if has_table(run, "logit_attribution_prompts"):
        _show_prompts(run, parts, name)


def show_first_tokens(run: Run) -> None:
    """Which tokens the margin is made of."""
    tokens = table(run, "first_tokens")
    st.markdown(tokens_sentence(tokens))
    numbers = Typeset(tokens_frame(tokens), {"m1": SHARE, "m2": SHARE, "weight": decimals(3)})
    st.dataframe(
        numbers.data,
        hide_index=True,
        alt="The first tokens that count in the refusal margin, with how often each model begins with them",
        column_config={
            "side": "Side",
            "text": "Token (· is a space)",
            "m1": numbers.column("m1", "M1 begins with it"),
            "m2": numbers.column("m2", "M2 begins with it"),
            "weight": numbers.column("weight", "Weight"),
        },
    )
    about = (
        "The refusal margin that this page reads is the weighted mean of the logits of M2's first tokens less that of "
        "M1's. Tokens and weights are chosen on these prompts and measured on others. A margin of 0 is no tie between "
        "refusing and complying: compare it with M1's."
    )
    caption_and_csv(about, f"{run.name}-first-tokens.csv", lambda: tokens, "first_tokens_csv")


def _show_direct(run: Run, parts: pd.DataFrame) -> None:
    st.header("Written straight to the logits, by layer")
    show_chart(direct_chart(parts), "What each set of patched neurons writes directly to the refusal margin, by layer")
    about = (
        f"Σ change of activation × output column × unembedding over the set ({of_size(parts)}), with the final norm's "
        "scale held at the patched pass; where a norm follows the MLP (Gemma 2 and 3, OLMo 2) it is read through it at "
        "the same pass. Margins are taken before a cap of the logits (Gemma 2). Bars are means over the prompts, lines "
        "95 % intervals."
    )
    caption_and_csv(about, f"{run.name}-logit-attribution.csv", lambda: parts, "logit_parts_csv")


def _show_parts(run: Run, parts: pd.DataFrame, name: str) -> None:
    st.header("The whole change of the margin")
    whole = whole_frame(parts)
    show_chart(interval_chart(whole, CHANGE_AXIS, share=False), "The parts of the change of every set, with intervals")
    show_chart(parts_chart(parts, name), f"What neurons and attention of each layer add; {sets_of(parts)[name]}")
    about = (
        "The residual stream is a sum of what attention and MLPs write, so the parts add up to the whole exactly; the "
        "final norm's part is the change of its scale. What other neurons and attention add is indirect: they read "
        "what earlier layers wrote, and M2's patched activations carry what happened upstream in M2. In M2 all "
        "neurons count as one."
    )
    caption_and_csv(about, f"{run.name}-logit-parts.csv", lambda: whole, "logit_whole_csv")


def _show_neurons(run: Run, name: str) -> None:
    st.header("Neuron by neuron")
    neurons = neurons_frame(table(run, "logit_attribution_neurons"), name)
    shown = neurons[["rank", "layer", "neuron", "direct", "direct_low", "direct_high", "change", *_WORDS, "link"]]
    numbers = Typeset(
        shown, {"direct": decimals(3), "direct_low": decimals(3), "direct_high": decimals(3), "change": digits(3)}
    )
    st.dataframe(
        numbers.data,
        hide_index=True,
        height=380,
        alt="The neurons of the set that write most to the refusal margin, with the tokens that they promote",
        column_config={
            "rank": "Rank",
            "layer": "Layer",
            "neuron": "Neuron",
            "direct": numbers.column("direct", "Adds (logits)"),
            "direct_low": numbers.column("direct_low", "95 % from"),
            "direct_high": numbers.column("direct_high", "to"),
            "change": numbers.column("change", "Activation changes by"),
            "promotes": st.column_config.TextColumn("The change promotes", width="medium"),
            "suppresses": st.column_config.TextColumn("and suppresses", width="medium"),
            "link": st.column_config.LinkColumn("Open", display_text="Neuron", width="small"),
        },
    )
    about = (
        "By the size of the mean contribution; negative ones work against refusal. Tokens are those whose centred "
        "logits the neuron's column moves most when its activation changes as it does on average (· is a space)."
    )
    caption_and_csv(about, f"{run.name}-logit-neurons.csv", lambda: neurons.drop(columns="link"), "logit_neurons_csv")


_WORDS = ("promotes", "suppresses")


def _show_prompts(run: Run, parts: pd.DataFrame, name: str) -> None:
    st.header("The prompts behind it")
    prompts = table(run, "logit_attribution_prompts")
    rows = prompts[prompts["set"] == name].sort_values("total", ascending=False)
    show_prompts(
        rows[["prompt", "before", "total", "direct"]],
        "Prompts with M1's refusal margin, its change, and what of that is direct",
        **({} if name in ("m2", "random") else {"ranking": name, "fraction": float(parts["fraction"].iloc[0])}),
    )
    about = "M1's refusal margin, by how much patching changes it, and what of that is written directly; in logits."
    caption_and_csv(about, f"{run.name}-logit-prompts.csv", lambda: prompts, "logit_prompts_csv")
