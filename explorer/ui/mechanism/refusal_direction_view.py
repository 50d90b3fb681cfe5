"""The refusal direction on the Mechanism page: with it projected out, its likeness to the patch, how it was chosen."""

import streamlit as st

from explorer.charts.labels import suite_label
from explorer.charts.matrix import curve_chart, interval_chart
from explorer.report.refusal_direction import (
    MODELS,
    answers_frame,
    cosine_frame,
    effect_frame,
    layers_frame,
    patched_label,
)
from explorer.runs.reader import Run
from explorer.studies.direction_words import direction_sentence
from explorer.studies.directions import LARGEST_KL
from explorer.ui.current_run import table
from explorer.ui.result_controls import choose
from explorer.ui.study_page import has_table, show_prompts
from explorer.ui.widgets import caption_and_csv, say, show_chart


def show_refusal_direction(run: Run) -> None:
    """All of the study."""
    effect = table(run, "refusal_direction")
    say(direction_sentence(effect))
    st.header("Refusals with a direction projected out")
    show_chart(
        interval_chart(effect_frame(effect), "Share of answers that refuse", share=True),
        "Refusals of each model with nothing, the refusal direction or a control projected out",
    )
    first = effect.iloc[0]
    about = (
        f"{suite_label(first['suite'])}, n = {int(first['n']):,}, up to {int(first['max_new_tokens'])} tokens; 95 % "
        "intervals, of several control directions from their lowest to their highest. What enters the first block and "
        "what leaves each block of the model that answers is projected, at every position; M2's activations, which are "
        "patched in, are read without. Control: the difference of means of two random halves of the same training "
        "prompts, as many harmful as harmless ones in each."
    )
    caption_and_csv(about, f"{run.name}-refusal-direction.csv", lambda: effect, "direction_csv")
    if has_table(run, "refusal_direction_cosines"):
        _show_cosines(run)
    if has_table(run, "refusal_direction_layers"):
        _show_layers(run)
    if has_table(run, "refusal_direction_answers"):
        _show_answers(run, str(first["ranking"]), float(first["fraction"]))


def _show_cosines(run: Run) -> None:
    st.header("Does patching push along it?")
    cosines = table(run, "refusal_direction_cosines")
    model = choose("direction_of", "Direction", MODELS)
    frame = cosine_frame(cosines, model)
    show_chart(
        curve_chart(frame, "Layer", "Cosine with the refusal direction", share=False, log=False),
        "Cosine of the change of the residual stream with the refusal direction, by layer",
    )
    draws = int(cosines["draws"].max())
    about = (
        "The change of the residual stream at the last prompt token, patched M1 less M1, against the difference of "
        f"means of the same layer; mean over n = {int(cosines['n'].max()):,} prompts, 95 % intervals; the band of "
        f"random neurons spans {draws} draws. The CSV also holds how far the change goes along the direction."
    )
    caption_and_csv(about, f"{run.name}-refusal-direction-cosines.csv", lambda: cosines, "direction_cosines_csv")


def _show_layers(run: Run) -> None:
    st.header("Which layer's direction?")
    layers = table(run, "refusal_direction_layers")
    show_chart(
        curve_chart(layers_frame(layers), "Layer", "M2's margin of refusal (logits)", share=False, log=False),
        "M2's margin of refusal over compliance with each layer's direction projected out",
    )
    chosen = layers[layers["chosen"]].iloc[0]
    about = (
        f"Chosen: layer {int(chosen['layer'])}, the lowest margin on {int(chosen['held_out']):,} held-out training "
        "prompts among layers of the first four fifths whose projection changes the next token on harmless prompts by "
        f"at most {LARGEST_KL} nats (where none does, the half that change it least); here by {chosen['kl']:.2g}. "
        "Layer 0 is what enters the first block; nothing differs there at the last prompt token."
    )
    caption_and_csv(about, f"{run.name}-refusal-direction-layers.csv", lambda: layers, "direction_layers_csv")


def _show_answers(run: Run, ranking: str, fraction: float) -> None:
    st.header("The answers behind it")
    answers = table(run, "refusal_direction_answers")
    words = {name: patched_label(name) for name in dict.fromkeys(answers["patched"])}
    patched = choose("direction_patched", "Model", words)
    controls = {"ranking": ranking, "fraction": fraction} if patched == ranking else {}
    show_prompts(
        answers_frame(answers, patched),
        "Prompts with the answers of the chosen model, by what is projected out",
        **controls,
    )
    about = "Of several control directions, the answers with the first."
    caption_and_csv(about, f"{run.name}-refusal-direction-answers.csv", lambda: answers, "direction_answers_csv")
