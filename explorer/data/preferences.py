"""Preference pairs: HH-RLHF's dialogues, right against wrong solutions of GSM8K; and ShareGPT's conversations.

for pair in load_preferences("hh_helpful.jsonl", "dialogue"):
    print(pair.turns, pair.chosen, pair.rejected)
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.data.columns import ROLES, columns_of, find_column, first_words, turns_of
from explorer.data.rows import read_rows
from explorer.errors import ExplorerError
from explorer.files import is_file

KINDS = {"dialogue": ("chosen", "rejected"), "solutions": ("question", "answer"), "conversations": ("conversations",)}
"""How a file is read, and the columns that it must have: two dialogues (in HH-RLHF's form or as lists of turns; or two
answers beside a column `prompt`), GSM8K's question and answer, or ShareGPT's turns ({"from": "human", "value": "…"};
the column may be called messages), of which every answer is an example with nothing to reject."""

_TURNS = ("conversations", "messages", "conversation")
_CALCULATION = re.compile(r"<<[^<>]*>>")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Preference:
    """A dialogue with a preferred and a rejected way to go on.

    Attributes:
        turns: (role, text) so far, the last one a user's.
        chosen, rejected: the two answers; the second is empty where there is nothing to reject.
    """

    turns: tuple[tuple[str, str], ...]
    chosen: str
    rejected: str


def load_preferences(file: str | Path, kind: str = "dialogue") -> list[Preference]:
    """The preference pairs of a file; dialogues that do not end in two different answers are left out.

    Args:
        file: with one of `rows.ENDINGS` and the columns of its kind.
        kind: one of `KINDS`.

    Raises:
        ExplorerError: the file is missing or cannot be read, or a row lacks the columns.
    """
    if kind not in KINDS:
        raise ExplorerError(f"Preference pairs must be of the kind {' or '.join(KINDS)}, not “{kind}”.")
    if not is_file(Path(file)):
        raise ExplorerError(f"There is no file of preference pairs {file}.")
    pairs: list[Preference] = []
    for number, row in enumerate(read_rows(Path(file), "file of preference pairs"), start=1):
        try:
            pairs += _READERS[kind](row.cells, number)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ExplorerError(
                f"{file}, {row.place}, must have the columns {' and '.join(KINDS[kind])} of the kind “{kind}”."
            ) from problem
        except ExplorerError as problem:
            raise ExplorerError(f"{file}, {row.place}, {problem}") from problem
    return pairs


def _conversations(row: dict, _number: int) -> list[Preference]:
    said = _spoken(turns_of(row[columns_of(row, _TURNS)[0]] if columns_of(row, _TURNS) else None))
    return [
        Preference(tuple(said[:i]), text, "")
        for i, (role, text) in enumerate(said)
        if role == "assistant" and text and any(r == "user" for r, _ in said[:i])
    ]


def _spoken(turns: list[tuple[str, str]] | None) -> list[tuple[str, str]]:
    """The turns, after a check that it is known who speaks each."""
    if turns is None:
        raise TypeError("no turns")
    for role, _ in turns:
        if role not in ROLES.values():
            shown = " ".join(role.split())[:40]  # one line, whatever a file calls a role
            raise ExplorerError(f"has a turn of “{shown}”; those who speak are user, assistant and system.")
    return turns


def _dialogue(row: dict, _number: int) -> list[Preference]:
    prompt = row.get(find_column(row, "prompt") or "")
    chosen, rejected = (_turns(_cell(row, name), prompt) for name in KINDS["dialogue"])
    whole = len(chosen) >= 2 and chosen[:-1] == rejected[:-1] and [r for r, _ in chosen[-2:]] == ["user", "assistant"]
    if not whole or not rejected[-1][1] or not chosen[-1][1] or chosen[-1] == rejected[-1]:
        return []
    return [Preference(tuple(chosen[:-1]), chosen[-1][1], rejected[-1][1])]


def _turns(value: Any, prompt: Any) -> list[tuple[str, str]]:
    """(role, text) of each turn of a dialogue, or of a prompt and an answer to it; none for what is neither."""
    turns = turns_of(value)
    if turns is None:
        if not isinstance(value, str):
            raise TypeError("no text")
        turns = [("assistant", value.strip())] if prompt is not None and value.strip() else []
    if turns and turns[0][0] == "assistant" and prompt is not None:
        said = turns_of(prompt)
        turns = [*(said if said is not None else [("user", first_words(prompt))]), *turns]
    return _spoken(turns)


def _cell(row: dict, name: str) -> Any:
    return row[find_column(row, name) or name]


def _solutions(row: dict, seed: int) -> list[Preference]:
    """A right solution, and the same one with a slip in one step that is carried through to the end."""
    steps = _CALCULATION.sub("", _cell(row, "answer")).replace("####", "The answer is").strip()
    wrong = _with_a_slip(steps, random.Random(seed))
    return [] if wrong == steps else [Preference((("user", _cell(row, "question").strip()),), steps, wrong)]


def _with_a_slip(steps: str, rng: random.Random) -> str:
    """The text with one number wrong from some place on, the last number (the result) always."""
    numbers = list(_NUMBER.finditer(steps))
    if not numbers:
        return steps
    place = rng.choice(numbers[len(numbers) // 2 :])
    head, tail = steps[: place.start()], steps[place.start() :]
    wrong = {value: _near(value, rng) for value in dict.fromkeys((place.group(), numbers[-1].group()))}
    return head + _NUMBER.sub(lambda m: wrong.get(m.group(), m.group()), tail)


def _near(value: str, rng: random.Random) -> str:
    """Another number of about that size."""
    number = int(value)
    return str(number + rng.choice([d for d in (-10, -3, -2, -1, 1, 2, 3, 10, number) if d and number + d >= 0]))


_READERS: dict[str, Callable[[dict, int], list[Preference]]] = {
    "dialogue": _dialogue,
    "solutions": _solutions,
    "conversations": _conversations,
}
