"""The last generations of a browser: its own alone, over reloads, and so many at most."""

from types import SimpleNamespace

import pytest

from explorer.serve import histories
from explorer.serve.histories import Histories
from explorer.ui import browser


@pytest.fixture(autouse=True)
def _records(monkeypatch) -> None:
    """A record is its generation's name here: what it holds is another file's matter."""
    monkeypatch.setattr(histories, "remember", lambda kept, name: [name, *kept])


def test_a_browser_sees_its_own_alone() -> None:
    kept = Histories()
    for key, name in (("a", "first"), ("b", "second"), ("a", "third")):
        kept.add(key, name)
    assert kept.of("a") == ["third", "first"]
    assert kept.of("b") == ["second"]
    assert kept.of("c") == []


def test_what_is_forgotten_is_gone() -> None:
    kept = Histories()
    kept.add("a", "first")
    kept.forget("a")
    kept.forget("b")
    assert kept.of("a") == []


def test_who_generated_longest_ago_makes_room() -> None:
    kept = Histories(most=2)
    for key in ("a", "b", "a", "c"):
        kept.add(key, key)
    assert (len(kept.of("a")), kept.of("b"), kept.of("c")) == (2, [], ["c"])


def test_the_key_is_the_token_not_its_spelling(monkeypatch) -> None:
    from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

    def key(cookie: str) -> str:
        monkeypatch.setattr(
            browser, "st", SimpleNamespace(context=SimpleNamespace(cookies={"_streamlit_xsrf": cookie}))
        )
        monkeypatch.setattr(browser, "visitor", lambda: "the session")
        return browser.browser_key()

    token, other = bytes(range(16)), bytes(range(1, 17))
    keys = [key(generate_xsrf_token_string(one)) for one in (token, token, other)]
    assert keys[0] == keys[1] != keys[2]
    for damaged in ("", "2|", "2|zz|00|1", "2||00|1", "1|aa|bb|1", "2|aabbccdd|aabb|1", "plain"):
        assert key(damaged) == "the session"
