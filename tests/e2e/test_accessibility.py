"""Every page in a browser, walked over once: it opens, the console is silent, and axe-core finds nothing serious."""

import pytest

from tests.e2e.walk import Screen, Seen, walk
from tests.views import PAGE_VIEWS, VIEWS

DESKTOP = Screen()
OTHERS = (Screen(scheme="dark"), Screen(390, 844), Screen(390, 844, "dark"))


@pytest.fixture(scope="session")
def seen(browser, app) -> dict[str, Seen]:
    """What was found in each page as it opens."""
    pytest.importorskip("axe_playwright_python", reason="axe-core is not installed (make setup-dev)")
    return walk(browser, app, PAGE_VIEWS, DESKTOP)


@pytest.mark.parametrize("view", PAGE_VIEWS, ids=lambda view: view.name)
def test_a_page_opens_without_an_error(seen, view) -> None:
    assert seen[view.name].failures == []
    assert seen[view.name].console == []


@pytest.mark.parametrize("view", PAGE_VIEWS, ids=lambda view: view.name)
def test_a_page_can_be_read_by_everybody(seen, view) -> None:
    assert seen[view.name].violations == []
    assert seen[view.name].contrast == []
    assert seen[view.name].nameless == []


@pytest.mark.slow
@pytest.mark.parametrize("screen", [DESKTOP, *OTHERS], ids=lambda screen: screen.name)
def test_every_view_is_as_it_should_be(browser, app, screen) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe-core is not installed (make setup-dev)")
    found = walk(browser, app, VIEWS, screen)
    assert {name: seen for name, seen in found.items() if seen != Seen()} == {}
