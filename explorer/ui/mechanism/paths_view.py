"""Through attention or through MLPs: shares of the effect, what is left with a path kept, and heads one by one."""

import pandas as pd
import streamlit as st

from explorer.charts.labels import signed
from explorer.charts.matrix import interval_chart
from explorer.charts.paths import attention_chart, flow_figure, heads_chart
from explorer.report.paths import (
    KEPT,
    MARGIN_AXIS,
    MEASURES,
    flows,
    head_sentence,
    kept_frame,
    looked_frame,
    parts_frame,
    sets_of,
    strongest,
)
from explorer.runs.reader import Run
from explorer.studies.paths import Paths
from explorer.ui.contrast import theme
from explorer.ui.current_run import table
from explorer.ui.result_controls import choose
from explorer.ui.study_page import has_table, pick, show_matrix, show_prompts
from explorer.ui.widgets import caption_and_csv, say, show_chart

_LAYER, _HEAD = "path_layer", "path_head"


def show_paths(run: Run) -> None:
    """All of the study."""
    parts, kept = table(run, "paths"), table(run, "paths_kept")
    sets = sets_of(parts)
    with say(Paths().finding({"paths": parts, "paths_kept": kept})):
        name = choose("path_set", "Set", sets)
    _show_parts(run, parts, name)
    _show_kept(run, kept)
    if has_table(run, "paths_heads"):
        _show_heads(run, name, sets[name])
    if has_table(run, "paths_answers"):
        _show_answers(run, name)


def _show_parts(run: Run, parts: pd.DataFrame, name: str) -> None:
    st.header("Direct, by attention, by MLPs")
    st.plotly_chart(
        flow_figure(flows(parts, name), dark=theme() == "dark"),
        key=f"path_flows_{name}",
        width="stretch",
        alt="How much of the change of the refusal margin flows directly, through attention and through MLPs",
    )
    frame = parts_frame(parts)
    show_chart(interval_chart(frame, MARGIN_AXIS, share=False), "The parts of the change for every set, with intervals")
    about = (
        "Direct is what is left when attention patterns, values and all other MLP neurons stay M1's. The others are "
        "what freeing a path adds, averaged over the orders in which paths can be freed (Shapley; patterns and values "
        "next to each other), so that direct, patterns, values and MLPs add up to the whole. What attention and MLPs "
        f"do only together is in both halves: {_interaction(parts, name)}. Orange flows work against the whole."
    )
    caption_and_csv(about, f"{run.name}-paths.csv", lambda: parts, "paths_csv")


def _interaction(parts: pd.DataFrame, name: str) -> str:
    row = parts[(parts["set"] == name) & (parts["part"] == "interaction")].iloc[0]
    value, low, high = (signed(row[c], 2) for c in ("margin", "margin_low", "margin_high"))
    return f"{value} logits ({low} to {high})"


def _show_kept(run: Run, kept: pd.DataFrame) -> None:
    st.header("What is left with a path kept at M1's")
    measure = choose("path_measure", "Measure", {name: one.label for name, one in MEASURES.items()})
    shown, first = MEASURES[measure], kept.iloc[0]
    show_chart(
        interval_chart(kept_frame(kept, measure), shown.axis, share=shown.share),
        f"{shown.label} of patched M1 while a part of the model stays M1's",
    )
    about = (
        f"Greedy answers of up to {int(first['max_new_tokens'])} tokens, n = {int(first['n']):,}, the restriction held "
        "throughout: M1, unpatched, reads the same current text, and what is kept is taken from it. "
        f"M1 refuses {100 * first['refusal_m1']:.0f} %, M2 {100 * first['refusal_m2']:.0f} %; M2's margin lies "
        f"{signed(first['margin_m2'], 2)} logits from M1's."
    )
    caption_and_csv(about, f"{run.name}-paths-kept.csv", lambda: kept, "paths_kept_csv")


def _show_heads(run: Run, name: str, words: str) -> None:
    st.header("Head by head")
    heads = table(run, "paths_heads")
    mine = heads[heads["set"] == name]
    if mine.empty:
        st.info("The run holds no heads of this set.", icon=":material/info:")
        return
    layers, numbers = (sorted(int(i) for i in mine[c].unique()) for c in ("layer", "head"))
    layer, head = strongest(mine)
    with st.container(horizontal=True):
        layer = pick("Layer", layers, _LAYER, width=120, default=layer)
        head = pick("Head", numbers, _HEAD, width=120, default=head)
    show_matrix(
        heads_chart(mine, (layer, head)),
        f"path_heads_{name}",
        {"layer": _LAYER, "head": _HEAD},
        f"How much of the refusal margin is lost when a head stays M1's, by layer and head; {words}",
    )
    st.markdown(head_sentence(mine, layer, head))
    about = (
        "One head's output is kept at M1's at all positions while patching changes all else; purple: the margin falls "
        "without it. Heads up to the first patched layer read nothing patched. Click a cell to open the head."
    )
    caption_and_csv(about, f"{run.name}-paths-heads.csv", lambda: mine, "paths_heads_csv")
    if has_table(run, "paths_attention"):
        _show_attention(run, layer, head)


def _show_attention(run: Run, layer: int, head: int) -> None:
    looked = table(run, "paths_attention")
    known = looked[["layer", "head"]].drop_duplicates()
    if not ((known["layer"] == layer) & (known["head"] == head)).any():
        names = ", ".join(f"{a}.{b}" for a, b in sorted(map(tuple, known.to_numpy().tolist())))
        st.caption(f"The run holds the attention of the heads that matter most (layer.head): {names}.")
        return
    prompts = looked.drop_duplicates("prompt_id").set_index("prompt_id")["prompt"].to_dict()
    prompt = pick("Prompt", list(prompts), "path_prompt", format_func=lambda i: prompts[i], width=560)
    frame = looked_frame(looked, layer, head, prompt)
    show_chart(attention_chart(frame), f"Where head {head} of layer {layer} looks from the prompt's last token")
    patched = sets_of(looked)[frame["set"].iloc[0]]
    about = (
        "From the prompt's last token, where the answer's first token is predicted. Patched are: "
        f"{patched.lower()}. An example, not a mean."
    )
    caption_and_csv(about, f"{run.name}-head-{layer}-{head}.csv", lambda: frame, "paths_attention_csv")


def _show_answers(run: Run, name: str) -> None:
    st.header("The answers behind it")
    way = choose("path_kept", "Kept at M1's", KEPT)
    answers = table(run, "paths_answers")
    rows = answers[(answers["set"] == name) & (answers["kept"] == way)]
    show_prompts(
        rows[["prompt", "answer", "refused", "degenerate", "margin"]].sort_values("margin", ascending=False),
        "Prompts with the answers of patched M1 while a part of the model stays M1's",
    )
    about = "Sorted by the change of the refusal margin, in logits; the Patch lab patches without anything kept."
    caption_and_csv(about, f"{run.name}-paths-answers.csv", lambda: answers, "paths_answers_csv")
