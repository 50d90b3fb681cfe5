"""The pages in Streamlit's own test harness: no browser, no server, no model.

They show a small run of made-up numbers in a temporary folder; the run that ships is opened once as well. Every
test starts with empty caches.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from explorer.paths import PROJECT
from explorer.ui.pages import PAGES
from tests.app.small_run import write_small_run

OpenPage = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def _empty_caches() -> None:
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Path:
    """A run's folder; not to be changed."""
    return write_small_run(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def runs(small_run, monkeypatch) -> Path:
    """The folder of runs that the app looks into: it holds the small run."""
    monkeypatch.setenv("EXPLORER_RUNS", str(small_run.parent))
    return small_run.parent


@pytest.fixture(scope="session")
def built_by_two(tmp_path_factory) -> Path:
    """A run of a tiny random pair, really built, by attribution (the main ranking) and by change score."""
    from tests.two_methods import BOTH, SERIES, build_two

    return build_two(tmp_path_factory.mktemp("built"), BOTH + SERIES)


@pytest.fixture
def two_methods(built_by_two, monkeypatch) -> Path:
    """The app shows `built_by_two`."""
    monkeypatch.setenv("EXPLORER_RUNS", str(built_by_two.parent))
    return built_by_two


@pytest.fixture
def open_page() -> OpenPage:
    """Opens a page by its file, with a query: `open_page("pages/neurons.py", neuron="3.4")`."""

    def open_it(file: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=120)
        if file != PAGES[0].file:  # the entry script must have run before another page can be opened
            app.run().switch_page(file)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert [e.value for e in app.exception] == []
        return app

    return open_it
