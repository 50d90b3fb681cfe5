"""Preference pairs: HH-RLHF's dialogues, right against wrong solutions of GSM8K; and ShareGPT's conversations.

for pair in load_preferences("hh_helpful.jsonl", "dialogue"):
    print(pair.turns, pair.chosen, pair.rejected)
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from explorer.data.suites_io import read_jsonl
from explorer.errors import ExplorerError

KINDS = {"dialogue": ("chosen", "rejected"), "solutions": ("question", "answer"), "conversations": ("conversations",)}
"""How a file is read, and the columns that it must have: two dialogues of HH-RLHF's form, GSM8K's question and answer,
or ShareGPT's turns ({"from": "human", "value": "…"}), of which every answer is an example with nothing to reject."""

_TURN = re.compile(r"\n\n(Human|Assistant):")
_CALCULATION = re.compile(r"<<[^<>]*>>")
_NUMBER = re.compile(r"\d+")
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


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
    """The preference pairs of a JSONL file; dialogues that do not end in two different answers are left out.

    Args:
        file: with the columns of its kind.
        kind: one of `KINDS`.

    Raises:
        ExplorerError: the file is missing, or a line lacks the columns.
    """
    if kind not in KINDS:
        raise ExplorerError(f"Preference pairs must be of the kind {' or '.join(KINDS)}, not “{kind}”.")
    if not Path(file).is_file():
        raise ExplorerError(f"There is no file of preference pairs {file}.")
    columns = KINDS[kind]
    pairs: list[Preference] = []
    for number, row in enumerate(read_jsonl(Path(file)), start=1):
        try:
            pairs += _READERS[kind](row, number)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ExplorerError(
                f"{file}, line {number}, must have the columns {' and '.join(columns)} of the kind “{kind}”."
            ) from problem
    return pairs


def _conversations(row: dict, _number: int) -> list[Preference]:
    said = [(_ROLES[turn["from"]], turn["value"].strip()) for turn in row["conversations"]]
    return [
        Preference(tuple(said[:i]), text, "")
        for i, (role, text) in enumerate(said)
        if role == "assistant" and text and any(r == "user" for r, _ in said[:i])
    ]


def _dialogue(row: dict, _number: int) -> list[Preference]:
    chosen, rejected = _turns(row["chosen"]), _turns(row["rejected"])
    whole = len(chosen) >= 2 and chosen[:-1] == rejected[:-1] and [r for r, _ in chosen[-2:]] == ["user", "assistant"]
    if not whole or not rejected[-1][1] or not chosen[-1][1] or chosen[-1] == rejected[-1]:
        return []
    return [Preference(tuple(chosen[:-1]), chosen[-1][1], rejected[-1][1])]


def _turns(dialogue: str) -> list[tuple[str, str]]:
    """(role, text) of each turn; white space around a turn is not part of it."""
    parts = _TURN.split("\n\n" + dialogue.strip())[1:]
    return [(_ROLES[who.lower()], said.strip()) for who, said in zip(parts[::2], parts[1::2], strict=True)]


def _solutions(row: dict, seed: int) -> list[Preference]:
    """A right solution, and the same one with a slip in one step that is carried through to the end."""
    steps = _CALCULATION.sub("", row["answer"]).replace("####", "The answer is").strip()
    wrong = _with_a_slip(steps, random.Random(seed))
    return [] if wrong == steps else [Preference((("user", row["question"].strip()),), steps, wrong)]


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
