"""The real app in a real browser: Debian's chromium, driven by Playwright.

What is missing (the browser, Playwright, the embedded model, a run) is said as the reason of a skip.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.serving import served
from tests.serving import failures

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def chromium() -> str | None:
    """Debian's chromium, or the one on the path."""
    debian = "/usr/bin/chromium"
    return debian if os.access(debian, os.X_OK) else shutil.which("chromium")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (make setup-dev)")
    path = chromium()
    if path is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def app(browser, tmp_path_factory) -> Iterator[str]:
    """The address of the app, started as `python -m explorer app` starts it, on a free port."""
    from explorer.runs.reader import run_names

    if not run_names():
        pytest.skip("there is no run to show (python -m explorer build configs/build/demo.toml)")
    log = tmp_path_factory.mktemp("app") / "server.log"
    with served(log) as address:
        yield address
    assert failures(log.read_text(encoding="utf-8", errors="replace")) == []


@pytest.fixture
def open_page(browser, app) -> Iterator[Callable]:
    """Opens a path of the app in a session of its own; scripts' errors in the browser fail the test."""
    contexts, errors = [], []

    def open_(path: str = "/"):
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(app + path)
        page.get_by_role("heading", level=1).first.wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="session")
def run(app):
    """The run that the app shows first."""
    from explorer.paths import runs_folder
    from explorer.runs.reader import open_run, run_names

    return open_run(runs_folder() / run_names()[0])


@pytest.fixture(scope="session")
def model(run) -> None:
    """Skips where the run's models cannot be loaded; the embedded one is converted before any page waits for it."""
    from explorer.models import embedded
    from explorer.serve.pairs import pair_name, why_not_installed

    problem = why_not_installed(pair_name(run))
    if problem:
        pytest.skip(problem)
    embedded.ensure()


@pytest.fixture(scope="session")
def engine(run, model) -> Callable[[str, float, int], dict[str, str]]:
    """The three answers as the library gives them, in this process."""
    import explorer
    from explorer.serve.pairs import pair_name

    scores = run.ranking(run.main_ranking)
    loaded: list[explorer.Pair] = []

    def answers(prompt: str, fraction: float, tokens: int) -> dict[str, str]:
        if not loaded:  # not before the app has answered: two models at once would slow both down
            loaded.append(explorer.load_pair(pair_name(run)))
        out = explorer.generate(loaded[0], [prompt], scores.top(fraction=fraction), tokens)
        return {name: getattr(out, name)[0].text for name in ("unpatched", "patched", "aligned")}

    return answers
