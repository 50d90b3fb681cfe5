"""The run's own answers in the Patch lab: at once where it holds those that are asked for, and without the models."""

import streamlit as st

from explorer.charts.labels import ranking_label
from explorer.data.suites_io import load_presets
from explorer.neurons.ranking import count_of
from explorer.report.results import table_of
from explorer.runs.reader import Run
from explorer.serve.generation import Column
from explorer.ui.current_run import table
from explorer.ui.patch_lab.answer_cards import Shown, scores_about, show_answers
from explorer.ui.patch_lab.cached_answers import (
    CachedSet,
    cached_columns,
    cached_prompts,
    cached_sets,
    nearest_set,
    wanted,
    wanted_control,
)
from explorer.ui.patch_lab.choice import Controls, options_summary


def show_known(run: Run, controls: Controls) -> Shown | None:
    """The run's answers to the prompt in the box, patched as the controls say; None where it holds none."""
    name, chosen = table_of("answers", controls.direction), wanted(controls)
    typed = any(preset.prompt == controls.prompt for preset in load_presets())  # no run holds answers to presets
    if chosen is None or typed or controls.temperature or name not in run.tables:  # all of them are greedy
        return None
    answers = table(run, name)
    prompt = cached_prompts(answers).get(controls.prompt)
    if prompt is None:
        return None
    control = wanted_control(answers, prompt[0], controls, chosen)
    columns = cached_columns(answers, prompt, chosen, _tokens(run), control)
    if not all(column.tokens for column in columns.values()):
        return None
    st.caption("These answers come with the run; Generate writes them anew.")
    shown = _shown(run, controls.prompt, columns, chosen, controls.direction)
    st.fragment(show_answers)(shown, scores_about(run.manifest, of_run=True))
    return shown


def show_cached(run: Run, controls: Controls) -> None:
    """The run's answers in the chosen direction, patched with the chosen ranking, to any of its prompts."""
    name = table_of("answers", controls.direction)
    if "answers" not in run.tables:
        return
    st.header("Answers that come with the run")
    if name not in run.tables:
        st.caption("The run holds no answers of M2 patched with M1's activations; under Options, restore instead.")
        return
    answers = table(run, name)
    prompts = cached_prompts(answers)
    left, right = st.columns(2, gap="medium")
    listed = list(prompts)
    index = listed.index(controls.prompt) if controls.prompt in prompts else 0
    prompt = left.selectbox("Prompt of the run", listed, index=index, key=f"cached-prompt-{controls.direction}")
    if prompt is None:
        return
    sets = cached_sets(answers, prompts[prompt][0], controls.ranking)
    key = f"cached-set-{controls.direction}-{controls.ranking}-{controls.kind}-{controls.fraction}"
    chosen = right.selectbox("Patched neurons", list(sets), index=nearest_set(sets, controls), key=key)
    if not sets:
        label = ranking_label(controls.ranking)
        st.caption(f"The run holds no answers to this prompt that were patched with the ranking “{label}”.")
    elif not controls.is_plain or controls.temperature:
        st.caption(
            f"These are greedy, of strength 1 at all positions; yours ({options_summary(controls)}) need the models."
        )
    patched = sets.get(chosen or "")
    control = None if patched is None else wanted_control(answers, prompts[prompt][0], controls, patched)
    columns = cached_columns(answers, prompts[prompt], patched, _tokens(run), control)
    shown = _shown(run, prompt, columns, patched, controls.direction)
    st.fragment(show_answers)(shown, scores_about(run.manifest, of_run=True))


def _shown(run: Run, prompt: str, columns: dict[str, Column], chosen: CachedSet | None, direction: str) -> Shown:
    neurons = None if chosen is None else count_of(chosen.fraction, run.n_layers * run.n_neurons)
    return Shown(prompt, columns, _tokens(run), direction=direction, neurons=neurons)


def _tokens(run: Run) -> int:
    """The run's length limit of an answer."""
    return int(run.manifest.get("decoding", {}).get("max_new_tokens", 0))
