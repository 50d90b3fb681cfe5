"""Where and how deep: refusals by the positions that are patched, behind an opening too, and KL along the answer."""

import pandas as pd
import streamlit as st

from explorer.charts.labels import suite_label
from explorer.charts.matrix import curve_chart, interval_chart
from explorer.report import depth
from explorer.runs.reader import Run
from explorer.studies import STUDIES
from explorer.studies.depth_words import place_words
from explorer.ui.current_run import table
from explorer.ui.result_controls import choose
from explorer.ui.study_page import pick, show_prompts
from explorer.ui.widgets import caption_and_csv, say, show_chart


def show(run: Run) -> None:
    """The section of the Mechanism page."""
    frame, kl = table(run, "depth"), table(run, "depth_kl")
    measures = {name: depth.MEASURES[name].label for name in depth.measures_of(frame)}
    with say(STUDIES["depth"].finding({"depth": frame, "depth_kl": kl})):
        measure = choose("depth_by", "Measured by", measures)
    about, first = depth.MEASURES[measure], frame.iloc[0]
    where = f"{suite_label(first['suite'])}, n = {int(frame['n'].max()):,}, up to {int(first['max_new_tokens'])} tokens"

    st.header("How many tokens of the answer does it take?")
    show_chart(
        curve_chart(
            depth.curve_frame(frame, measure),
            "k, first tokens of the answer",
            about.axis,
            share=False,
            log=False,
            rate=about.share,
        ),
        f"{about.axis} against the number of first answer tokens that are patched",
    )
    caption_and_csv(
        f"{where}; bands are 95 % intervals. A token's position is where it is read, and predicts the next one: with "
        "the prompt and the first k tokens patched, k + 1 tokens are written under the patch and the rest by M1 alone.",
        f"{run.name}-depth.csv",
        lambda: frame,
        "depth_csv",
    )

    st.header("Which positions?")
    for opening in dict.fromkeys(frame["opening"]):
        if opening:
            st.markdown("After an opening that every answer is made to begin with:")
            st.text(opening)
        show_chart(
            interval_chart(depth.place_frame(frame, measure, opening), about.axis, share=about.share, zero=False),
            f"{about.axis} by the positions that are patched",
        )
    st.caption(
        f"{where}; what follows an opening is judged without it. The instruction's last token is where what was asked "
        "ends and the chat template goes on; the prompt's last one belongs to the template."
    )
    if len(kl):
        _show_kl(run, kl)
    if "depth_answers" in run.tables:
        _show_answers(table(run, "depth_answers"))


def _show_kl(run: Run, kl: pd.DataFrame) -> None:
    st.header("Where along the answer do the models part?")
    title = "KL from M2, nats a token"
    show_chart(
        curve_chart(depth.kl_frame(kl), "Token of M2's answer", title, share=False, log=False),
        "KL divergence of M1 and patched M1 from M2 at each token of M2's answers",
    )
    caption_and_csv(
        f"KL(M2 ‖ M1) and KL(M2 ‖ patched M1) while all read M2's own answers to {suite_label(kl['suite'].iloc[0])}; "
        f"mean over n = {int(kl['n'].max()):,} prompts at the first token, fewer where answers have ended; bands are "
        "95 % bootstrap intervals.",
        f"{run.name}-depth-kl.csv",
        lambda: kl,
        "depth_kl_csv",
    )


def _show_answers(answers: pd.DataFrame) -> None:
    st.header("The answers behind it")
    patched = answers[answers["set"] != ""]
    with st.container(horizontal=True):
        name = pick("Neurons", list(dict.fromkeys(patched["set"])), "depth_set", depth.set_words)
        mine = patched[patched["set"] == name]
        places = list(dict.fromkeys(zip(mine["opening"], mine["where"], mine["tokens"], strict=True)))
        words = {_words(*place): place for place in places}
        opening, where, tokens = words[pick("Patched at", list(words), "depth_place")]
    behind = depth.answers_behind(answers, name, where, tokens, opening)
    show_prompts(behind, "Prompts and answers of the chosen set and positions")


def _words(opening: str, where: str, tokens: int) -> str:
    return place_words(where, int(tokens)) + (" (after the opening)" if opening else "")
