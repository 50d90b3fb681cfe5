"""The model pairs in the app: one service of each for all sessions, and what a page shows until the models are there.

service = pair_service(pair_name(run))      # Patch lab: .worker, .pair
pair = pair_or_explain(run)                 # any other page that needs the models right away
"""

import time
from typing import TYPE_CHECKING

import streamlit as st

from explorer.errors import ExplorerError
from explorer.serve.loading import SharedPair
from explorer.serve.pairs import PairService, pair_name, why_not_installed
from explorer.ui.plain import show_problem

if TYPE_CHECKING:
    from explorer.models.pair import Pair
    from explorer.runs.reader import Run

_RETRY_AFTER = 5.0
"""Seconds after which a page that is opened again tries a failed load again."""


@st.cache_resource(max_entries=2, show_spinner=False, on_release=lambda service: service.pair.release())
def pair_service(name: str) -> PairService:
    """The one service of a pair."""
    return PairService.of(name)


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
