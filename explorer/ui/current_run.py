"""The run that a page shows: chosen, checked, and read once for all sessions.

    run = current_run()                  # the guard at the top of a page
    effect = table(run, "effect")
    changes = change_scores(run, "safety")

What cannot be read ends the page with one sentence. Nothing that is returned may be changed: it is shared.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from explorer.errors import ExplorerError
from explorer.neurons.ranking import Ranking
from explorer.paths import runs_folder
from explorer.report.glossary import glossary_markdown
from explorer.runs.format import MANIFEST
from explorer.runs.reader import Run, find_run, open_run, run_names
from explorer.ui.plain import plain
from explorer.ui.router import route_first_visit
from explorer.ui.tour import show_tour

if TYPE_CHECKING:
    import pandas as pd

RUN = "run"
"""The name in the address, and of the widget."""


class PageRun(Run):
    """A run whose tables are read once for all sessions; a table that cannot be read ends the page."""

    def whole_table(self, name: str) -> "pd.DataFrame":
        return table(self, name)


def current_run() -> Run:
    """The run of the address (`?run=`), else the one chosen in the sidebar, else the first.

    Where there is none, or it is damaged, one sentence is shown and the page ends.
    """
    route_first_visit()
    names, asked = run_names(), st.query_params.get(RUN)
    try:
        if not names:
            raise ExplorerError(
                f"There is no run in {runs_folder()}; build one with `python -m explorer build CONFIG.toml`."
            )
        run = _read_run(asked if asked is not None and asked not in names else _choose(names))
    except ExplorerError as problem:
        show_problem(problem)
        if names and asked is not None and asked not in names:
            st.button(f"Open run {names[0]}", icon=":material/undo:", on_click=_forget_address)
        st.stop()
    show_tour()
    _show_name(run)
    return run


def _show_name(run: Run) -> None:
    """Which models and which run a page speaks of; its help explains the words."""
    model = str(run.manifest["pair"].get("name") or run.manifest["pair"]["m2"]["base"])
    st.caption(f":material/memory: {plain(model)} · run {plain(run.name)}", help=glossary_markdown(), width="content")


@contextmanager
def explained() -> Iterator[None]:
    """Show what a person can mend in place of the rest of the page."""
    try:
        yield
    except ExplorerError as problem:
        show_problem(problem)
        st.stop()


def show_problem(problem: ExplorerError) -> None:
    """One sentence in red; names in it come from outside, so nothing but code in backticks is Markdown."""
    st.error(re.sub(r"([\\\[\]*_$<>~!])", r"\\\1", str(problem)), icon=":material/error:")


def change_scores(run: Run, ranking: str) -> Ranking:
    """One ranking, sorted once; the page ends where they cannot be read."""
    with explained():
        return _change_scores(*key_of(run), ranking)


def table(run: Run, name: str) -> "pd.DataFrame":
    """A table of the run; the page ends where it cannot be read."""
    with explained():
        return _table(*key_of(run), name)


def tensors(run: Run, name: str) -> dict[str, np.ndarray]:
    """A tensor file of the run; the page ends where it cannot be read."""
    with explained():
        return _tensors(*key_of(run), name)


def has_rankings(run: Run) -> bool:
    """Whether there is a ranking to show; else one sentence is shown."""
    if not run.rankings:
        st.error(f"Run {run.name} has no ranking; build it with one under [rankings].", icon=":material/error:")
    return bool(run.rankings)


def key_of(run: Run) -> tuple[str, int]:
    """What caches tell runs apart by: the folder, and when its manifest was written."""
    return str(run.path), _stamp(run)


def _choose(names: list[str]) -> str:
    """The run chosen in the sidebar, which is there only when there is a choice."""
    if len(names) == 1:
        return names[0]
    about = "A run is a set of results on disk; the app shows one at a time."
    return st.sidebar.selectbox("Run", names, key=RUN, bind="query-params", help=about)


def _forget_address() -> None:
    st.query_params.pop(RUN, None)


def _read_run(name: str) -> Run:
    run = find_run(name)
    return _checked_run(str(run.path), _stamp(run))


def _stamp(run: Run) -> int:
    try:
        return (run.path / MANIFEST).stat().st_mtime_ns
    except OSError as problem:
        raise ExplorerError(f"{run.path / MANIFEST} is missing; build the run again.") from problem


# -- read once for all sessions; `stamp` only tells a run from the one it replaced --------------------


@st.cache_resource(max_entries=4, show_spinner=False)
def _checked_run(folder: str, stamp: int) -> Run:
    found = open_run(folder)
    run = PageRun(found.path, found.manifest)
    _whole(run, _manifest_is_whole)
    problems = run.check()
    if problems:
        more = f" ({len(problems) - 1} more files are damaged as well.)" if len(problems) > 1 else ""
        raise ExplorerError(problems[0] + more)
    return run


@st.cache_resource(max_entries=12, show_spinner="Reading the ranking…")
def _change_scores(folder: str, stamp: int, ranking: str) -> Ranking:
    run = open_run(folder)
    changes = run.ranking(ranking)
    shape = (run.n_layers, run.n_neurons)
    if any(a.shape != shape for a in (changes.scores, changes.mean1, changes.mean2, changes.std1, changes.std2)):
        raise ExplorerError(f"Ranking “{ranking}” of run {run.name} is damaged; build the run again.")
    _ = changes.ranks  # sorts now, so that no page waits for it twice
    return changes


@st.cache_resource(max_entries=24, show_spinner=False)
def _table(folder: str, stamp: int, name: str) -> "pd.DataFrame":
    return open_run(folder).whole_table(name)


@st.cache_resource(max_entries=8, show_spinner=False)
def _tensors(folder: str, stamp: int, name: str) -> dict[str, np.ndarray]:
    return open_run(folder).tensors(name)


def _whole(run: Run, check: Callable[[Run], bool]) -> None:
    try:
        whole = check(run)
    except (AttributeError, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise ExplorerError(f"{run.path / MANIFEST} is damaged; build the run again.")


def _manifest_is_whole(run: Run) -> bool:
    """Whether what pages rely on is there, and of the right kind."""
    parts = run.manifest
    return (
        run.n_layers > 0
        and run.n_neurons > 0
        and all(isinstance(parts["pair"][m]["base"], str) for m in ("m1", "m2"))
        and all(isinstance(about["count"], int) for about in parts["rankings"].values())
        and all(isinstance(about["sha256"], str) for about in parts["files"].values())
        and all(isinstance(name, str) for name in parts["tables"])
        and all(isinstance(parts.get(key, {}), dict) for key in ("scorers", "score_columns"))
    )
