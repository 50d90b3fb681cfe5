"""Benchmarks of general ability, read from files: WikiText-2, MMLU, TruthfulQA, GSM8K (paper section 4.3)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.data.suites_io import read_jsonl
from explorer.errors import ExplorerError
from explorer.files import is_file
from explorer.text_file import open_text

if TYPE_CHECKING:
    from explorer.models.pair import Pair
    from explorer.neurons.patch import Patch
    from explorer.neurons.sets import NeuronSet

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
LETTERS = ("A", "B", "C", "D")

CHANCE = {"mmlu": 1 / len(LETTERS), "gsm8k": 0.0}
"""The accuracy of guessing; a model that is not distinguishable from it cannot be seen to lose ability."""

WINDOW_TOKENS = 256
"""Of a stretch of WikiText-2, where nothing else is said."""

PAGE = 1_500
MOST_TEXT = 2**26
"""Characters of WikiText-2 that are read at most; it has a million."""


@dataclass(frozen=True)
class Item:
    """Something to read.

    Attributes:
        task: "wikitext2", "mmlu" or "truthfulqa".
        id: within the task.
        text: a stretch of text, or a question.
        options: possible answers.
        right: index of the right one.
        tokens: of a stretch of text, so many are read.
    """

    task: str
    id: str
    text: str
    options: tuple[str, ...] = ()
    right: int = 0
    tokens: int = 0


def wikitext(folder: Path, windows: int, tokens: int) -> list[Item]:
    """Stretches of WikiText-2, evenly spread over its test part."""
    text = _read(folder / "wikitext2_test.txt")
    length = tokens * 8  # characters: more than enough for the tokens that are read
    if windows < 1 or len(text) < length:
        return []
    starts = np.linspace(0, len(text) - length, windows).astype(int)
    return [Item("wikitext2", str(i), text[s : s + length], tokens=tokens) for i, s in enumerate(starts)]


def mmlu(folder: Path, limit: int) -> list[Item]:
    """Questions with four options, spread over the file (its subjects follow one another), none longer than a page."""
    rows = list(enumerate(_rows(folder / "mmlu_subset.jsonl", question=str, options=object, answer=object)))
    rows = [(i, row) for i, row in rows if str(row["answer"])[:1] in LETTERS and len(row["question"]) < PAGE]
    items: list[Item] = []
    if limit and rows:
        for place in np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int):
            number, row = rows[place]
            text = f"{row['question']}\n{row['options']}\nAnswer with the letter of the right option."
            items.append(Item("mmlu", str(number), text, LETTERS, LETTERS.index(str(row["answer"])[0])))
    return items


def truthfulqa(folder: Path, limit: int) -> list[Item]:
    """Questions whose first option is true."""
    items, file = [], folder / "truthfulqa_mc.jsonl"
    for number, row in enumerate(_rows(file, question=str, mc1_targets=dict)[:limit]):
        options = list(row["mc1_targets"])
        right = next((i for i, option in enumerate(options) if row["mc1_targets"][option] == 1), -1)
        if right < 0:
            raise ExplorerError(f"{file}, row {number + 1}, has no right option; mark it by 1.")
        items.append(Item("truthfulqa", str(number), row["question"], tuple(options), right))
    return items


def gsm8k(folder: Path, limit: int) -> list[tuple[str, str]]:
    """Problems and the numbers that solve them."""
    file = folder / "gsm8k_test.jsonl"
    rows = _rows(file, question=str, answer=str)[:limit]
    problems = [(row["question"], row["answer"].rsplit("####", 1)[-1].strip()) for row in rows]
    wrong = next((n for n, (_, number) in enumerate(problems, start=1) if not _NUMBER.fullmatch(number)), None)
    if wrong is not None:
        raise ExplorerError(f"{file}, row {wrong}, has no number after “####”; fetch the file again.")
    return problems


def solves(answer: str, solution: str) -> bool:
    """Whether the last number of an answer is the solution."""
    numbers = _NUMBER.findall(answer)
    return bool(numbers) and float(numbers[-1].replace(",", "")) == float(solution.replace(",", ""))


def window_losses(pair: "Pair", window: Item, sets: "Sequence[NeuronSet | Patch]" = ()) -> np.ndarray:
    """float32 [2 + sets]: mean loss of a stretch of text, nats a token, in M1, in M1 patched with each set, in M2.

    The text is read behind the tokeniser's own beginning (BOS), where it has one.
    """
    from explorer.engine.given_text import token_log_probs
    from explorer.models.prompting import encode_text

    ids = encode_text(pair.tokenizer, window.text)[: window.tokens]
    losses: np.ndarray = -token_log_probs(pair, [ids], sets).own[0].mean(axis=1)
    return losses


def chance_of(items: "Sequence[Item]") -> dict[str, float]:
    """The accuracy of guessing at each task that has options: the mean of 1 / options."""
    tasks = dict.fromkeys(item.task for item in items if item.options)
    return CHANCE | {t: float(np.mean([1 / len(i.options) for i in items if i.task == t])) for t in tasks}


def _read(file: Path) -> str:
    if not is_file(file):
        raise ExplorerError(f"There is no file {file}; set EXPLORER_DATA to the folder of these datasets.")
    with open_text(file, "file") as text:
        return text.read(MOST_TEXT)


def _rows(file: Path, **columns: type | tuple[type, ...]) -> list[dict[str, Any]]:
    """The rows of a file, after a check that each has these columns of these kinds."""
    if not is_file(file):
        raise ExplorerError(f"There is no file {file}; set EXPLORER_DATA to the folder of these datasets.")
    rows = read_jsonl(file)
    for number, row in enumerate(rows, start=1):
        wrong = next(
            (name for name, kind in columns.items() if name not in row or not isinstance(row[name], kind)), None
        )
        if wrong is not None:
            raise ExplorerError(
                f"{file}, row {number}, lacks the column “{wrong}” as its publisher has it; fetch the file again."
            )
    return rows
