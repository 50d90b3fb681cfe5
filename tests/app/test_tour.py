"""The tour, the words, the model's name, and the address of the first page."""

import pytest

from explorer.report.glossary import GLOSSARY
from explorer.ui.pages import PAGES
from explorer.ui.tour import STEPS

OVERVIEW = "pages/overview.py"


def links(app) -> dict[str, str]:
    return {e.proto.label: f"{e.proto.page}?{e.proto.query_string}" for e in app.get("page_link")}


def test_the_tour_begins_on_the_overview_and_goes_on(runs, open_page) -> None:
    found = links(open_page(OVERVIEW))
    assert found["Take the tour: 5 steps"].endswith("?tour=1")
    for number, step in enumerate(STEPS, start=1):
        app = open_page(step.page, **step.query, tour=str(number))
        assert any(f"Tour, {number} of 5: {step.title}" in m.value for m in app.markdown)
        ways = links(app)
        assert ("Back" in ways) == (number > 1)
        if number < len(STEPS):
            assert f"tour={number + 1}" in ways[f"Next: {STEPS[number].title}"]
        assert not app.warning
    app.button(key="tour-end").click().run()
    assert not any("Tour, " in m.value for m in app.markdown)


@pytest.mark.parametrize("value", ["0", "6", "two", "<b>"])
def test_a_step_that_is_not_there_is_one_sentence(runs, open_page, value) -> None:
    app = open_page(OVERVIEW, tour=value)
    assert [w.value.startswith("The tour has steps 1 to 5") for w in app.warning] == [True]


def test_every_page_names_model_and_run_and_explains_its_words(runs, open_page) -> None:
    app = open_page("pages/transfer.py")
    name = app.caption[0]
    assert name.value == ":material/memory: none · run small"
    assert all(f"**{term}**" in name.proto.help for term in GLOSSARY)


def test_the_steps_are_pages() -> None:
    assert {step.page for step in STEPS} <= {page.file for page in PAGES}
