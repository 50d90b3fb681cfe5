"""The widgets of the Build page."""

import os
from pathlib import Path

import streamlit as st

from explorer.charts.labels import rate
from explorer.errors import ExplorerError
from explorer.pipeline.status import duration
from explorer.serve import build_files, builds
from explorer.ui.plain import show_problem

_WORDS = {
    "none": "This run has not been built on this machine.",
    "starting": "The build is starting…",
    "done": "The build is done.",
    "stopped": "The build was stopped; it resumes where it was.",
    "failed": "The build has failed.",
}
_ENGINES = {"local": "One process", "ray": "Workers of Ray"}
_PROBLEM, _LOOK = "build-problem", 1.0


def choose_file() -> Path | None:
    """The build file, kept in the address; None where there is none."""
    files = {path.stem: path for path in build_files.build_files()}
    if not files:
        st.info(f"There is no build file in {build_files.shown_path(build_files.FOLDER)}; put one there.")
        return None
    name = st.selectbox("Build file", list(files), key="config", bind="query-params", width=320)
    return files[name]


def show_controls(file: Path) -> None:
    """Where it runs, and the buttons to start and to stop."""
    view = _look(file)
    if view is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        engine = st.selectbox("Where", list(_ENGINES), format_func=_ENGINES.__getitem__, key="engine", width=200)
        workers = st.number_input("Workers", 0, 64, 0, key="workers", disabled=engine != "ray", width=120)
        fresh = st.toggle("From scratch", key="fresh", help="Forget what an earlier build has computed.")
        st.button(
            "Start" if view.state in ("none", "done", "failed") or fresh else "Resume",
            icon=":material/play_arrow:",
            type="primary",
            key="start",
            disabled=view.active,
            on_click=_start,
            args=(file, engine, int(workers), not fresh),
        )
        st.button(
            "Stop", icon=":material/stop:", key="cancel", disabled=not view.active, on_click=_cancel, args=(file,)
        )
    problem = st.session_state.pop(_PROBLEM, "")
    if problem:
        show_problem(problem)
    if not os.environ.get("EXPLORER_DATA") and "$EXPLORER_DATA" in file.read_text(encoding="utf-8"):
        st.caption("This file reads data sets from the folder EXPLORER_DATA, which is not set in this app.")


def show_progress(file: Path) -> None:
    """How far it is, looked at again and again while it computes."""
    view = _look(file)
    if view is None:
        return
    st.fragment(_show_state, run_every=_LOOK if view.active else None)(file, view.active)


def show_settings(file: Path) -> None:
    """The file itself."""
    opened = st.expander("The build file", icon=":material/description:", key="settings", on_change="rerun")
    if opened.open:
        with opened:
            st.code(file.read_text(encoding="utf-8"), language="toml")
    st.caption(f"The same from a terminal: `python -m explorer build {build_files.shown_path(file)}`")


def _show_state(file: Path, was_active: bool) -> None:
    view = _look(file)
    if view is None:
        return
    if was_active and not view.active:
        st.rerun()  # the buttons stand outside of this fragment
    status = view.status
    if view.state == "running" and status is not None:
        left = "" if status.seconds_left is None else f", about {duration(status.seconds_left)} left"
        st.progress(
            min(1.0, status.overall), text=f"Whole build: {rate(status.overall)} after {duration(status.seconds)}{left}"
        )
        st.progress(
            min(1.0, status.share), text=f"Stage {status.number} of {status.of}, {status.stage}: {rate(status.share)}"
        )
        return
    st.markdown(_WORDS.get(view.state, "The build is running."))
    if view.problem:
        show_problem(view.problem)
    if view.state == "stopped" and status is not None:
        st.caption(f"It came to {rate(status.overall)}, stage {status.number} of {status.of} ({status.stage}).")


def _look(file: Path) -> builds.View | None:
    try:
        return builds.look(file)
    except ExplorerError as problem:
        show_problem(str(problem))
        return None


def _start(file: Path, engine: str, workers: int, resume: bool) -> None:
    try:
        builds.start(file, engine, workers, resume)
    except ExplorerError as problem:
        st.session_state[_PROBLEM] = str(problem)


def _cancel(file: Path) -> None:
    try:
        builds.cancel(file)
    except ExplorerError as problem:
        st.session_state[_PROBLEM] = str(problem)
