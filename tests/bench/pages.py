"""The pages at the size of real models: what the server takes, and what it sends (goal 5).

The runs are written into a temporary folder in the shape of a 7B model's; their numbers are made up, only their sizes
count. Pages run in Streamlit's own test harness, without a browser.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
from streamlit.logger import set_log_level
from streamlit.testing.v1 import AppTest

from explorer.paths import PROJECT
from tests.app.small_run import write_small_run
from tests.bench.measure import REPEATS, Line, at_most, median_seconds, seconds

SHAPES = {"Llama-2-7B": (32, 11_008), "Gemma-7B": (28, 24_576)}
PAGES = ("overview", "neurons", "overlap", "patch_lab")

Touch = Callable[[AppTest, int], object]

TOUCHES: dict[str, tuple[str, Touch]] = {
    "re-rank the list": ("neurons", lambda app, i: app.selectbox(key="rank_by").set_value(_other(app, "rank_by", i))),
    "sort the list": ("neurons", lambda app, i: app.selectbox(key="sort").set_value(_other(app, "sort", i))),
    "move the patched share": (
        "patch_lab",
        lambda app, i: app.select_slider(key="patch_fraction").set_value((0.02, 0.05, 0.1)[i % 3]),
    ),
    "move the overlap's size": (
        "overlap",
        lambda app, i: app.select_slider(key="top").set_value((0.01, 0.02, 0.1, 0.2)[i % 4]),
    ),
    "compare other rankings": ("overlap", lambda app, i: app.selectbox(key="a").set_value(_other(app, "a", i))),
}
"""What a person does, on which page, so that it is redrawn."""


def pages() -> list[Line]:
    """The slowest of everything, for both sizes."""
    set_log_level("error")  # there is no server, and it says so at every step
    lines = []
    for model, (layers, neurons) in SHAPES.items():
        with _run_of(layers, neurons):
            opened, sent = [], []
            for page in PAGES:
                app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=120).run()
                _forget()  # the first visitor since the server's start
                opened.append((seconds(lambda app=app, page=page: _open(app, page)), page))
                sent.append((_megabytes(app), page))
            touched = [(_redraw(*TOUCHES[name]), name) for name in TOUCHES]
        for what, found, bound, unit in (
            ("page opens", max(opened), 1.0, "s"),
            ("redraw", max((time * 1000, name) for time, name in touched), 200.0, "ms"),
            ("sent to the browser", max(sent), 1.0, "MB"),
        ):
            lines.append(at_most(f"{model}: {what}", found[0], bound, unit, f"slowest: {found[1]}"))
    return lines


@contextmanager
def _run_of(layers: int, neurons: int) -> Iterator[None]:
    before = os.environ.get("EXPLORER_RUNS")
    with tempfile.TemporaryDirectory() as folder:
        write_small_run(Path(folder) / "sizes-only", layers, neurons, top=500)
        os.environ["EXPLORER_RUNS"] = folder
        _forget()
        try:
            yield
        finally:
            os.environ.pop("EXPLORER_RUNS")
            if before is not None:
                os.environ["EXPLORER_RUNS"] = before


def _forget() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


def _open(app: AppTest, page: str) -> None:
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, app.exception


def _redraw(page: str, touch: Touch) -> float:
    """Median seconds from a touch to the redrawn page."""
    app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=120).run()
    _open(app, page)
    turn = iter(range(100))

    def work() -> None:
        touch(app, next(turn))
        app.run()
        assert not app.exception, app.exception

    for _ in range(4):  # every choice once: what is computed once for all sessions is not what is asked here
        work()
    return median_seconds(work, REPEATS)


def _other(app: AppTest, key: str, turn: int) -> str:
    box = app.selectbox(key=key)
    values = {"rank_by": ("safety", "ordinary", "safety_shifted"), "a": ("safety", "ordinary", "safety_shifted")}
    choices = values.get(key, ("rank", "mean_change", "std_m1", "layer"))
    return next(c for c in (choices[(turn + shift) % len(choices)] for shift in range(2)) if c != box.value)


def _megabytes(app: AppTest) -> float:
    """What a page's elements come to as messages; tables and charts carry their data."""

    def size(node) -> int:
        own = node.proto.ByteSize() if getattr(node, "proto", None) is not None else 0
        return own + sum(size(child) for child in getattr(node, "children", {}).values())

    return size(app._tree) / 1e6
