"""Sentences that quote people are shown as they are, whatever stands in the quotation."""

import re

import pytest
from markdown_it import MarkdownIt

from explorer.ui.plain import plain

QUOTES = [
    "[x](javascript:alert(1))",
    "[x](https://evil.example)",
    "https://evil.example/a_b_c",
    "www.evil.example",
    "me@evil.example",
    "<img src=x onerror=alert(1)>",
    "**bold** _it_ ~~no~~ `code` | table |",
    "$x$ and $$y$$",
    ":red[no] :material/home: :tada:",
    "![x](y)",
    "&lt;b&gt; -> -- \\",
]


@pytest.mark.parametrize("quote", QUOTES)
def test_every_sign_shows_as_itself(quote: str) -> None:
    sentence = f"“{quote}” is not a neuron; write layer.index, for instance 12.345."
    shown = MarkdownIt("commonmark", {"html": False}).render(plain(sentence))
    assert set(re.findall(r"</?(\w+)", shown)) <= {"p"}
    text = shown.replace("<p>", "").replace("</p>", "").strip()
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(entity, sign)
    assert text.replace("\u2060", "") == sentence


@pytest.mark.parametrize("address", ["https://evil.example", "www.evil.example", "me@evil.example"])
def test_no_address_is_left_that_could_become_a_link(address: str) -> None:
    assert address not in plain(address)


@pytest.mark.parametrize("directive", [":red[x]", ":material/home:", ":tada:"])
def test_no_directive_is_left(directive: str) -> None:
    assert not re.search(r":[a-z]", plain(directive))


def test_our_own_sentences_stay_readable_and_on_one_line() -> None:
    assert plain("The prompt is empty; write a question\n or a request.") == (
        "The prompt is empty; write a question or a request."
    )
    assert plain("Layer 7 has 791 neurons: too many (5 %).") == "Layer 7 has 791 neurons: too many (5 %)."
