"""Every page opens in a browser."""

import pytest

from explorer.ui.registry import PAGES


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.url_path)
def test_a_page_opens(open_page, entry) -> None:
    page = open_page("/" if entry.default else f"/{entry.url_path}")
    page.get_by_test_id("stApp").and_(page.locator("[data-test-script-state=notRunning]")).wait_for()
    assert page.get_by_test_id("stException").count() == 0
    assert page.get_by_test_id("stAlertContentError").all_inner_texts() == []
