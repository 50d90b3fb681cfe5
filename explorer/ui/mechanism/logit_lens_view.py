"""The logit lens: the refusal margin after every layer, and token by token for some prompts."""

import pandas as pd
import streamlit as st

from explorer.charts.logits import token_heatmap
from explorer.report.addresses import lab_address
from explorer.report.logits import MARGIN_AXIS, heat_frame, lens_lines, sets_of
from explorer.runs.reader import Run
from explorer.studies.logit_lens import LogitLens
from explorer.ui.current_run import table
from explorer.ui.result_controls import choose
from explorer.ui.study_page import has_table, pick
from explorer.ui.widgets import caption_and_csv, say, show_chart

_MEASURES = {"change": "Above M1's margin", "margin": "Refusal margin"}


def show_logit_lens(run: Run) -> None:
    """All of the study."""
    lens = table(run, "logit_lens")
    with say(LogitLens().finding({"logit_lens": lens})):
        measure = choose("lens_measure", "Measure", _MEASURES)
    show_chart(lens_lines(lens, measure), f"{_MEASURES[measure]} after every layer, by model")
    about = (
        "Final norm and unembedding read the residual stream after each layer at the last prompt token, where the "
        "first token of an answer is chosen. Early layers do not yet speak the unembedding's language: there only the "
        "difference from M1 means something. Bands are 95 % intervals over the prompts."
    )
    caption_and_csv(about, f"{run.name}-logit-lens.csv", lambda: lens, "lens_csv")
    if has_table(run, "logit_lens_tokens"):
        _show_tokens(run, table(run, "logit_lens_tokens"))


def _show_tokens(run: Run, tokens: pd.DataFrame) -> None:
    st.header("Token by token")
    prompts = tokens.drop_duplicates("prompt_id").set_index("prompt_id")["prompt"].to_dict()
    names = sets_of(tokens, "model")
    models = {f"{name} − m1": f"{label} − M1" for name, label in names.items() if name != "m1"} | names
    with st.container(horizontal=True):
        prompt = pick("Prompt", list(prompts), "lens_prompt", format_func=lambda i: str(prompts[i]), width=560)
        model = choose("lens_model", "Model", models)
    frame = heat_frame(tokens, str(prompt), model)
    less = " − " in model
    title = f"{MARGIN_AXIS[:14]}{' less M1’s' if less else ''} (logits)"
    show_chart(token_heatmap(frame, title, 6.0), f"The refusal margin at every token and layer; {models[model]}")
    about = (
        "A cell is what the residual stream after a layer, at a token, says of the token that comes next; the answer "
        "begins after the last. Purple leans to refusal, orange to compliance. An example, not a mean."
    )
    caption_and_csv(about, f"{run.name}-lens-{prompt}.csv", lambda: frame, "lens_tokens_csv")
    st.markdown(f"[Try this prompt in the Patch lab]({lab_address(prompt=prompts[prompt])})")
