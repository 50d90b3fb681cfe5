"""What the server sends for a page's address."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from explorer.ui import page_routes
from explorer.ui.pages import PAGES


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=page_routes.page_routes()))


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.url_path)
def test_a_pages_document_says_where_the_app_begins_before_the_client_starts(client, entry):
    answer = client.get(f"/{entry.url_path}?fraction=0.05")
    assert answer.status_code == 200
    assert 0 < answer.text.index("BACKEND_BASE_URL") < answer.text.index('<script type="module"')
    assert answer.headers["cache-control"] == "no-cache"


def test_another_document_than_streamlits_is_left_alone(monkeypatch):
    monkeypatch.setattr(page_routes, "_CLIENT", "<script of another make")
    assert page_routes.page_routes() == []
