"""The part of the Models page that builds a run on the chosen pair."""

import streamlit as st

from explorer.errors import ExplorerError
from explorer.ui.building import BuildJob, write_build_file
from explorer.ui.plain import plain, show_problem


@st.cache_resource(show_spinner=False)
def _jobs() -> dict[str, BuildJob]:
    """The build of this server, by the name "current": one at a time, seen by all sessions."""
    return {}


def show_build(pair: str) -> None:
    """A form that starts a build, and the progress of the one that goes on."""
    job = _jobs().get("current")
    if job is not None and not job.done:
        _show_progress(job)
        return
    if job is not None:
        _show_end(job)
    with st.form("build_form"):
        name = st.text_input("Name of the run", key="run_name", help="Letters, digits, - and _.")
        prompts = st.number_input("Prompts of each suite", 2, 200, 40, key="run_prompts")
        tokens = st.number_input("Tokens of an answer", 4, 256, 32, key="run_tokens")
        pressed = st.form_submit_button("Build a run", icon=":material/construction:")
    if pressed:
        try:
            job = BuildJob(write_build_file(name.strip(), pair, int(prompts), int(tokens)))
        except ExplorerError as problem:
            show_problem(str(problem))
            return
        _jobs()["current"] = job
        job.start()
        st.rerun()


@st.fragment(run_every=0.5)
def _show_progress(job: BuildJob) -> None:
    if job.done:
        st.rerun()
    stage, share = job.progress
    st.progress(share, text=f"{plain(job.name)}: {plain(stage)}")
    if st.button("Cancel the build", icon=":material/close:", key="cancel_build"):
        job.cancel()


def _show_end(job: BuildJob) -> None:
    if job.problem:
        show_problem(job.problem)
    else:
        st.success(f"The run {plain(job.name)} is built; choose it in the sidebar of any page.")
