"""The pages of a public server: those that change it are not there, the others are as ever."""

import pytest

from explorer.public import SETTING
from explorer.ui.pages import PAGES
from tests.app.conftest import OpenPage


@pytest.mark.parametrize("entry", [entry for entry in PAGES if not entry.public], ids=lambda entry: entry.url_path)
def test_pages_that_change_the_server_cannot_be_opened(runs, monkeypatch, entry, open_page: OpenPage):
    assert open_page(entry.file).title
    monkeypatch.setenv(SETTING, "1")
    app = open_page(PAGES[0].file)
    with pytest.raises(ValueError, match="Could not find a navigation page"):
        app.switch_page(entry.file)


def test_the_patch_lab_says_what_a_public_server_takes(runs, open_page: OpenPage, monkeypatch):
    monkeypatch.setenv(SETTING, "1")
    monkeypatch.setattr("explorer.serve.pairs.why_not_installed", lambda _name: "")
    app = open_page("pages/patch_lab.py", tokens="128")
    app.button(key="generate").click().run()
    assert [e.value for e in app.exception] == []
    assert any("at most 64 tokens" in e.value for e in app.error)
