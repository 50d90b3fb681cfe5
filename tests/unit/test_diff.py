"""Word differences: right, and harmless whatever the model wrote."""

import html
import re
from html.parser import HTMLParser

import pytest

from explorer.report.diff import Piece, differing, to_html

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "[x](javascript:alert(1))",
    "$$\\int x$$ and $a$",
    ":red[blood] :material/home: :streamlit:",
    "`code` ```block```",
    "**bold** _it_ ~~no~~ # head",
    "line one\n\n- two\n\tthree",
    "<|im_end|>&amp;&lt;",
    "x" * 500,
    '"><style>body{display:none}</style>',
    "\u202eright to left",
    "</div></mark>",
]


class _Reader(HTMLParser):
    """Collects the tags and the visible text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def marked(reference: str, text: str) -> list[str]:
    return [piece.text for piece in differing(reference, text) if piece.differs]


def test_equal_answers_have_no_marks() -> None:
    assert differing("To pick a lock, use a pin.", "To pick a lock, use a pin.") == [
        Piece("To pick a lock, use a pin.", False)
    ]


def test_only_the_words_that_differ_are_marked() -> None:
    assert marked("I can help with that.", "I can't help with that.") == ["can't"]
    assert marked("one two three", "one 2 three") == ["2"]


def test_neighbouring_marks_are_one_stretch_and_stop_at_line_breaks() -> None:
    assert marked("a", "a new stretch of words") == ["new stretch of words"]
    assert marked("a", "a new\nline") == ["new", "line"]


def test_white_space_alone_is_no_difference() -> None:
    assert marked("one  two", "one\n\ntwo ") == []


def test_everything_differs_from_nothing_and_nothing_has_no_pieces() -> None:
    assert marked("", "some words") == ["some words"]
    assert differing("some words", "") == []


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("reference", ["", "plain words", *HOSTILE[:3]])
def test_pieces_join_to_the_text(reference: str, text: str) -> None:
    assert "".join(piece.text for piece in differing(reference, text)) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_never_becomes_markup(text: str) -> None:
    shown = to_html(differing("plain words", text), "#7B4FD0")
    reader = _Reader()
    reader.feed(shown)
    assert reader.tags <= {"div", "mark"}
    assert reader.text == text
    assert "\n" not in shown
    assert "<script" not in shown
    assert "<img" not in shown


def test_plain_text_is_escaped_too() -> None:
    shown = to_html([Piece("<b>&", False)], "#7B4FD0")
    assert html.escape("<b>&") in shown
    assert not re.search("<b>", shown)


def test_a_colour_cannot_carry_markup() -> None:
    with pytest.raises(ValueError, match="colour"):
        to_html([], 'red"><script>')
