"""Patch lab: type a prompt, choose neurons, and watch the patched model answer beside the others."""

import streamlit as st

from explorer.errors import ExplorerError
from explorer.report.ranking_names import main_first
from explorer.report.sharing import default_rankings
from explorer.serve.pairs import pair_name, why_not_installed
from explorer.ui.current_run import change_scores, current_run, has_rankings
from explorer.ui.patch_lab import controls, linked_view, strip_view
from explorer.ui.patch_lab import generation_view as view
from explorer.ui.patch_lab.answers_view import show_present
from explorer.ui.patch_lab.cached_view import show_cached
from explorer.ui.patch_lab.choice import try_choose
from explorer.ui.patch_lab.conversation_view import control_here, show_turns
from explorer.ui.patch_lab.history_view import show_history
from explorer.ui.patch_lab.list_view import show_list
from explorer.ui.patch_lab.overlap_view import show_overlap
from explorer.ui.patch_lab.presets import show_presets
from explorer.ui.patch_lab.refused import press, refusal, refuse
from explorer.ui.plain import plain, show_problem
from explorer.ui.shared_pairs import pair_service

run = current_run()
st.title("What do these neurons change?")
if not has_rankings(run):
    st.stop()

missing = why_not_installed(pair_name(run))
service = pair_service(pair_name(run))
rankings = main_first(run)
controls.follow_address(rankings, default_rankings(run)[1])
linked_view.follow_link(rankings)
chosen = controls.current_controls()
scores = change_scores(run, chosen.ranking)
other = change_scores(run, chosen.other) if chosen.combines else None
neurons, problem = try_choose(chosen, scores, other)

show_presets()
left, right = st.columns(2, gap="medium")
with left:
    controls.show_prompt()
with right:
    controls.show_set(rankings, scores)
    controls.show_fraction(neurons)
controls.write_to_address(chosen, rankings)

generation = view.current_generation()
with st.container(horizontal=True, vertical_alignment="center"):
    pressed = st.button(
        "Generate",
        icon=":material/play_arrow:",
        type="primary",
        key="generate",
        disabled=bool(missing),
        shortcut="Ctrl+Enter",
    )
    if pressed and neurons is not None:
        controls.forget_address_problems()
        linked_view.forget_link()
        press()
        try:
            generation = view.generate(service, chosen, neurons, run)
        except ExplorerError as wrong:
            refuse(chosen, str(wrong))
    active = generation is not None and generation.active
    if st.button(
        "Film strip",
        icon=":material/theaters:",
        key="film",
        disabled=bool(missing),
        help="The same prompt at eight shares of patched neurons at once",
    ):
        press()
        try:
            strip_view.ask(service, chosen, scores, run, other)
        except ExplorerError as wrong:
            refuse(chosen, str(wrong))
    st.button("Stop", icon=":material/stop:", key="stop", disabled=not active, on_click=view.stop)
    controls.show_options(chosen)
for sentence in dict.fromkeys((missing, "" if chosen.unfinished and not pressed else problem, refusal(chosen))):
    if sentence:
        show_problem(sentence)
no_control = "" if neurons is None else control_here(chosen, neurons)[1]
if no_control:
    st.caption(f":material/info: No column of random neurons: {plain(no_control)}")

if missing:
    show_cached(run, chosen)
else:
    show_turns()
    strip_view.show_strip(service, chosen)
    show_present(run, service, chosen, neurons, generation)
show_overlap(run, chosen, neurons, rankings)
if not missing:
    show_list(run, service, chosen, neurons)
show_history(rankings)
