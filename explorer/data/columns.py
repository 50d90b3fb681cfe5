"""Which column holds the prompt, and what a person says in it: the names that published data sets use.

Names are compared without regard to case and surrounding white space where none is the same to the letter.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

PROMPT_COLUMNS = (
    "prompt",
    "prompts_final",
    "goal",
    "Behavior",
    "question",
    "instruction",
    "query",
    "messages",
    "conversations",
    "conversation",
    "chosen",
)
"""Columns that hold prompts, the surest first: a data set with `goal` and `behavior` has a topic under the latter. The
last four hold dialogues, of which a prompt is what a person says first."""

CATEGORY_COLUMNS = ("category", "SemanticCategory", "harm_area", "type")

DIALOGUES = ("messages", "conversations", "conversation", "chosen")

ROLES = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "system": "system",
}
"""What data sets call those who speak, and what chat templates do."""


def find_column(names: Iterable[str], wanted: str) -> str | None:
    """The column of this name, or else the one that differs from it in case and white space alone."""
    names = list(names)
    if wanted in names:
        return wanted
    return next((n for n in names if isinstance(n, str) and n.strip().lower() == wanted.lower()), None)


def columns_of(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Those of the wanted columns that are there, as they are called there, in the order of wanting."""
    names = list(names)
    return [found for name in wanted if (found := find_column(names, name)) is not None]


def prompt_in(cells: Mapping[str, Any], column: str) -> str:
    """The prompt in a column of a row, "" where there is none.

    Of a dialogue it is what a person says first; an Alpaca instruction comes with its input.
    """
    value, kind = cells.get(column), column.strip().lower()
    if kind in DIALOGUES:
        return first_words(value) if turns_of(value) is not None else ""
    text = first_words(value)
    if kind == "instruction" and text:
        extra = cells.get(find_column(cells, "input") or "")
        if isinstance(extra, str) and extra.strip():
            return f"{text}\n\n{extra.strip()}"
    return text


def first_words(value: Any) -> str:
    """What a person says first: of a plain prompt, of a dialogue in HH-RLHF's form, or of a list of turns."""
    turns = turns_of(value)
    if turns is not None:
        return next((text for role, text in turns if role == "user"), "")
    return _text(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def turns_of(value: Any) -> list[tuple[str, str]] | None:
    """(role, text) of each turn of a dialogue; None for what is no dialogue.

    A dialogue is a list of turns (`role` or `from`, `content` or `value`), such a list as JSON text, as CSV holds it,
    or a text in HH-RLHF's form. Roles that `ROLES` does not know stay as they are.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("Human:"):
            return hh_turns(text)
        if not text.startswith("[{"):
            return None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        return None
    turns = []
    for turn in value:
        role = str(turn.get("role", turn.get("from", ""))).strip().lower()
        turns.append((ROLES.get(role, role), _said(turn.get("content", turn.get("value")))))
    return turns


def _said(content: Any) -> str:
    """A turn's text; of one in parts ([{"type": "text", "text": …}]) those that are text."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        content = "\n".join(part for part in parts if isinstance(part, str))
    return content.strip() if isinstance(content, str) else ""


def hh_turns(dialogue: str) -> list[tuple[str, str]]:
    """(role, text) of each turn of a dialogue in HH-RLHF's form; white space around a turn is not part of it."""
    parts = re.split(r"\n\n(Human|Assistant):", "\n\n" + dialogue.strip())[1:]
    return [(ROLES[who.lower()], said.strip()) for who, said in zip(parts[::2], parts[1::2], strict=True)]


def category_in(value: Any) -> str:
    """A category as one word: where it is a map of flags (BeaverTails), the first that is set."""
    if isinstance(value, dict):
        return next((str(name) for name, flag in value.items() if flag), "")
    return _text(value)


def _text(value: Any) -> str:
    """A cell as text; "" for a missing one (nan is what pandas writes for it)."""
    return "" if value is None or (isinstance(value, float) and value != value) else str(value).strip()


def name_of(given: Any, number: int, taken: set[str]) -> str:
    """A prompt's name, which no other has (tables of answers are joined by it), added to those that are taken.

    Args:
        given: what its data set calls it; None or blank for nothing.
        number: of its row, which is its name else.
        taken: the names so far.
    """
    plain = name = _text(given) or str(number)
    while name in taken:
        name = f"{plain}-{number}"
        plain += "-"
    taken.add(name)
    return name
