"""Patch lab: type a prompt, choose neurons, and watch the patched model answer beside the other two."""

import streamlit as st

from explorer.errors import ExplorerError
from explorer.neurons.patch import Patch
from explorer.report.ranking_names import main_first
from explorer.serve.pairs import pair_name, why_not_installed
from explorer.ui.current_run import change_scores, current_run, has_rankings
from explorer.ui.patch_lab import controls, strip_view, trace_view
from explorer.ui.patch_lab import generation_view as view
from explorer.ui.patch_lab.answer_cards import scores_about, show_answers
from explorer.ui.patch_lab.cached_view import show_cached, show_known
from explorer.ui.patch_lab.choice import try_choose
from explorer.ui.plain import show_problem
from explorer.ui.shared_pairs import pair_service

run = current_run()
st.title("Patch lab")
st.markdown(
    "Three answers to one prompt, word by word: the model without safety alignment (**M1**), the same model with a few "
    "neurons' activations taken from the aligned one at every step, and the aligned model (**M2**). The options turn "
    "it round: M2 with those activations taken from M1."
)
if not has_rankings(run):
    st.stop()

missing = why_not_installed(pair_name(run))
service = pair_service(pair_name(run))
rankings = main_first(run)
controls.follow_address(rankings)
chosen = controls.current_controls()
scores = change_scores(run, chosen.ranking)
neurons, problem = try_choose(chosen, scores)

left, right = st.columns(2, gap="medium")
with left:
    controls.show_prompt()
with right:
    controls.show_set(rankings, scores)
    controls.show_fraction(neurons)
controls.write_to_address(chosen, rankings)

generation = view.current_generation()
with st.container(horizontal=True):
    pressed = st.button(
        "Generate", icon=":material/play_arrow:", type="primary", key="generate", disabled=bool(missing)
    )
    if pressed and neurons is not None:
        controls.forget_address_problems()
        try:
            generation = view.generate(service, chosen, neurons, run)
        except ExplorerError as wrong:
            problem = str(wrong)
    active = generation is not None and generation.active
    if st.button(
        "Film strip",
        icon=":material/theaters:",
        key="film",
        disabled=bool(missing),
        help="The same prompt at eight shares of patched neurons at once",
    ):
        try:
            strip_view.ask(service, chosen, scores, run)
        except ExplorerError as wrong:
            problem = str(wrong)
    st.button("Stop", icon=":material/stop:", key="stop", disabled=not active, on_click=view.stop)
    controls.show_options(chosen)
for sentence in (missing, "" if chosen.unfinished and not pressed else problem):
    if sentence:
        show_problem(sentence)

if missing:
    show_cached(run, chosen)
else:
    strip_view.show_strip(service, chosen)
    known = strip_view.known_at(chosen) if neurons is not None and not view.is_of(generation, neurons) else None
    if known is not None:
        st.fragment(show_answers)(known, scores_about(run.manifest))
        generation = None
    else:
        known = None if generation is not None else show_known(run, chosen)
    if known is None:
        view.show_generation(service, generation, scores_about(run.manifest), chosen.direction)
    patch = None if neurons is None or known is None else Patch(neurons, chosen.strength, chosen.where)
    answers = trace_view.of_generation(generation) or trace_view.of_known(run, known, patch)
    trace_view.show_trace(service, run, answers)
view.show_history()
