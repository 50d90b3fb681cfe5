"""What a click does on pages of studies; that every page opens is seen by `test_accessibility`."""

import re

import pytest


def _click_cell(page, number: int, where: float) -> dict[str, str]:
    """Click a cell of the page's first matrix as a mouse does; what the cell says of itself, by title."""
    cells = page.get_by_test_id("stVegaLiteChart").first.locator('[aria-roledescription="rect mark"]')
    cells.nth(number).wait_for()
    cells.nth(number).scroll_into_view_if_needed()
    page.wait_for_timeout(1500)  # the chart takes its width
    box = cells.nth(number).bounding_box()
    said = dict(part.split(": ", 1) for part in cells.nth(number).get_attribute("aria-label").split("; "))
    x, y = box["x"] + box["width"] * where, box["y"] + box["height"] * where
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    return said


@pytest.mark.parametrize("where", [0.5, 0.15], ids=["on the number", "beside it"])
def test_a_click_on_the_transfer_matrix_shows_the_answers_behind_it(open_page, run, where) -> None:
    if "transfer" not in run.tables:
        pytest.skip("the run has no transfer matrix")
    page = open_page("/transfer")
    said = _click_cell(page, 5, where)
    page.get_by_role("heading", name=f"Found on {said['Found on']}, patched on {said['Patched on']}").wait_for()
    page.wait_for_url("**/transfer?*source=*")


def test_a_click_on_the_overlap_matrix_compares_its_rankings(open_page, run) -> None:
    if len(run.rankings) < 3:
        pytest.skip("the run has fewer than three rankings")
    page = open_page("/overlap")
    said = _click_cell(page, 3, 0.5)  # the pair of the second cell may be the one that stands there at first
    page.get_by_role("heading", name=f"{said['Ranking A']} against {said['Ranking B']}").wait_for()
    page.wait_for_url("**/overlap?*")


def test_a_box_on_the_neuron_map_is_a_set_for_the_lab(open_page, run) -> None:
    page = open_page("/")
    chart = page.get_by_test_id("stPlotlyChart").first
    chart.locator("canvas").first.wait_for()
    page.get_by_test_id("stApp").and_(page.locator("[data-test-script-state=notRunning]")).wait_for()
    page.wait_for_timeout(1500)  # the chart takes its width
    box = chart.bounding_box()
    x, y = box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 150, y + 60, steps=8)
    page.mouse.up()
    page.get_by_text(re.compile(r"^Patch (these \d+ neurons|this neuron)$")).first.wait_for()


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("/?fraction=0.05", "share=5"),
        ("/mechanism?part=leave_out", "part=Is+a+single+neuron+necessary"),
        ("/neurons?rank_by=safety", "rank_by=Safety"),
        ("/overlap?part=Alignment+tax&method=contrast", "method=Change+score"),
    ],
)
def test_what_an_address_names_stays_in_it_in_the_controls_words(open_page, run, asked, kept) -> None:
    page = open_page(asked)
    page.wait_for_url(lambda url: kept in url)
    page.reload()
    page.get_by_role("heading", level=1).first.wait_for()
    assert kept in page.url
