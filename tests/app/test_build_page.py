"""The Build page starts a real build of a tiny pair, watches it, and stops it."""

import time

import pytest

from explorer.paths import PROJECT
from explorer.runs.reader import run_names
from explorer.serve import build_files, builds
from tests.tiny_build import CONFIG, write_build

BUILD = "pages/build.py"
PATIENCE = 150.0


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A build file in a folder of the test's; runs go there too."""
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    written = write_build(tmp_path, CONFIG.replace("limit = 40", "limit = 112"))
    monkeypatch.setenv("EXPLORER_PAIRS", str(tmp_path / "own"))
    monkeypatch.setattr(build_files, "build_files", lambda: [written])
    return written


def wait_for(file, *states: str) -> builds.View:
    end = time.monotonic() + PATIENCE
    while (view := builds.look(file)).state not in states:
        assert time.monotonic() < end, view
        time.sleep(0.1)
    return view


def test_a_build_is_started_stopped_and_goes_on(file, open_page) -> None:
    app = open_page(BUILD)
    assert "has not been built" in app.markdown[1].value
    next(b for b in app.button if b.label == "Start").click().run()
    assert not app.exception
    wait_for(file, "running")
    app.run()
    assert next(b for b in app.button if b.label == "Stop").disabled is False
    next(b for b in app.button if b.label == "Stop").click().run()
    view = wait_for(file, "stopped", "done")
    app.run()
    if view.state == "stopped":
        next(b for b in app.button if b.label == "Resume").click().run()
    wait_for(file, "done")
    app.run()
    assert any("is done" in m.value for m in app.markdown)
    assert run_names() == ["tiny"]


def test_a_build_that_cannot_begin_says_why(file, open_page) -> None:
    file.write_text(file.read_text().replace('suite = "redteam_eval"', 'suite = "lost"'))
    app = open_page(BUILD)
    next(b for b in app.button if b.label == "Start").click().run()
    wait_for(file, "failed")
    app.run()
    assert ["no prompt suite" in e.value for e in app.error] == [True]


def test_a_wrong_file_is_one_sentence(file, open_page) -> None:
    file.write_text("name = ")
    app = open_page(BUILD)
    assert {"not a readable TOML" in e.value for e in app.error} == {True}


def test_the_page_is_there() -> None:
    assert (PROJECT / BUILD).is_file()
