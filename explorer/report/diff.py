"""Which words of an answer differ from another answer, and how to show that without trusting either.

    to_html(differing(unpatched, patched), "#7B4FD0")

An answer is a model's text: it is escaped whole, whatever stands in it.
"""

import html
import re
from difflib import SequenceMatcher
from typing import NamedTuple

_TOKENS = re.compile(r"\w+(?:['’]\w+)*|\s+|[^\w\s]", re.UNICODE)
_FIRST = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]", re.UNICODE)
_HEX = re.compile(r"#[0-9A-Fa-f]{6}")


class Piece(NamedTuple):
    """A stretch of text, and whether it differs from the reference."""

    text: str
    differs: bool


def differing(reference: str, text: str) -> list[Piece]:
    """The text in pieces, words that the reference does not have at that place marked.

    Words and punctuation marks are compared, white space is not. The pieces join to the text.

    Args:
        reference: what the text is compared with.
        text: what is marked.
    """
    words = _TOKENS.findall(text)
    known = [word for word in _TOKENS.findall(reference) if not word.isspace()]
    solid = [i for i, word in enumerate(words) if not word.isspace()]
    matcher = SequenceMatcher(None, known, [words[i] for i in solid], autojunk=False)
    marks = [not word.isspace() for word in words]
    for block in matcher.get_matching_blocks():
        for i in solid[block.b : block.b + block.size]:
            marks[i] = False
    # A space between two marked words belongs to the mark: one stretch reads better than confetti.
    for i in range(1, len(words) - 1):
        if words[i].isspace() and "\n" not in words[i]:
            marks[i] = marks[i - 1] and marks[i + 1]
    pieces: list[Piece] = []
    for word, mark in zip(words, marks, strict=True):
        if pieces and pieces[-1].differs == mark:
            pieces[-1] = Piece(pieces[-1].text + word, mark)
        else:
            pieces.append(Piece(word, mark))
    return pieces


def first_difference(pieces: list[Piece]) -> tuple[int, str] | None:
    """The first marked word: the how manieth word of the text it is, from 1, and the word; None where none is marked.

    Args:
        pieces: of `differing`.
    """
    before = 0
    for text, differs in pieces:
        words = [word for word in _TOKENS.findall(text) if not word.isspace()]
        if differs and words:
            return before + 1, words[0]
        before += len(words)
    return None


def to_html(pieces: list[Piece], colour: str) -> str:
    """HTML for `st.html`: the text as it is, line breaks kept, long words wrapped, marks tinted, the first underlined.

    Args:
        pieces: of `differing`; or one unmarked piece.
        colour: of the marks, #RRGGBB.
    """
    if not _HEX.fullmatch(colour):
        raise ValueError(f"{colour!r} is no colour of the form #RRGGBB")
    style = f"background:{colour}4d;color:inherit;border-radius:3px;box-decoration-break:clone"
    first = next((i for i, piece in enumerate(pieces) if piece.differs), None)
    body = ""
    for i, (text, differs) in enumerate(pieces):
        if i == first and (word := _FIRST.match(text)):
            underlined = f"{style};border-bottom:2px solid {colour}"
            body += f'<mark style="{underlined}">{_escape(word[0])}</mark>'
            text = text[word.end() :]
        body += f'<mark style="{style}">{_escape(text)}</mark>' if differs and text else _escape(text)
    return f'<div style="white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate">{body}</div>'


def _escape(text: str) -> str:
    # Line breaks as entities, since `st.html` takes off the white space of lines that hold nothing else.
    return html.escape(text).replace("\r", "&#13;").replace("\n", "&#10;")
