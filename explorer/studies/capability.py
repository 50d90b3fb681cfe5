"""General capability: is the intervention too invasive? (table `capability`, paper section 4.3)

Perplexity on WikiText-2; multiple choice on MMLU (by the letter's probability) and on TruthfulQA (MC1, by the
answer's); greedy solutions on GSM8K. M1, M1 patched, and M2 read and answer the same.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from explorer.errors import ExplorerError
from explorer.studies.statistics import Estimate, mean

if TYPE_CHECKING:
    from explorer.models.pair import Pair
    from explorer.neurons.sets import NeuronSet

LETTERS = ("A", "B", "C", "D")
PAGE = 1_500


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
    rows = list(enumerate(_rows(folder / "mmlu_subset.jsonl")))
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
    items = []
    for number, row in enumerate(_rows(folder / "truthfulqa_mc.jsonl")[:limit]):
        options = list(row["mc1_targets"])
        right = next(i for i, option in enumerate(options) if row["mc1_targets"][option] == 1)
        items.append(Item("truthfulqa", str(number), row["question"], tuple(options), right))
    return items


def gsm8k(folder: Path, limit: int) -> list[tuple[str, str]]:
    """Problems and the numbers that solve them."""
    rows = _rows(folder / "gsm8k_test.jsonl")[:limit]
    return [(row["question"], row["answer"].rsplit("####", 1)[-1].strip()) for row in rows]


def solves(answer: str, solution: str) -> bool:
    """Whether the last number of an answer is the solution."""
    numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", answer)
    return bool(numbers) and float(numbers[-1].replace(",", "")) == float(solution.replace(",", ""))


def window_losses(pair: "Pair", window: Item, sets: "Sequence[NeuronSet]" = ()) -> np.ndarray:
    """float32 [2 + sets]: mean loss of a stretch of text, nats a token, in M1, in M1 patched with each set, in M2.

    The text is read behind the tokeniser's own beginning (BOS), where it has one.
    """
    from explorer.models.prompting import encode_text
    from explorer.neurons.given_text import token_log_probs

    ids = encode_text(pair.tokenizer, window.text)[: window.tokens]
    return -token_log_probs(pair, [ids], sets).own[0].mean(axis=1)


def capability_table(rows: pd.DataFrame, labels: Sequence[tuple[str, float]]) -> pd.DataFrame:
    """What each model can do.

    Args:
        rows: columns task, id, condition (index into `labels`), value (nats a token for wikitext2, else 0 or 1).
        labels: model ("M1", "patched", "M2") and patched fraction of each condition; the first is M1.

    Returns:
        Columns task, measure ("perplexity" or "accuracy"), model, fraction, n, value and change (from M1, over the
        same items; for perplexity the ratio), each with _low and _high.
    """
    table = []
    for (task, condition), part in rows.groupby(["task", "condition"], sort=False):
        base = rows[(rows["task"] == task) & (rows["condition"] == 0)].set_index("id")["value"]
        found = part.set_index("id")["value"]
        value, change = mean(found.to_numpy()), mean((found - base.loc[found.index]).to_numpy())
        if task == "wikitext2":
            value, change = _exp(value), _exp(change)
        model, fraction = labels[int(str(condition))]
        table.append(
            {
                "task": task,
                "measure": "perplexity" if task == "wikitext2" else "accuracy",
                "model": model,
                "fraction": fraction,
                "n": len(found),
                **value.columns("value"),
                **change.columns("change"),
            }
        )
    return pd.DataFrame(table)


def _exp(estimate: Estimate) -> Estimate:
    return Estimate(*(float(np.exp(v)) for v in (estimate.value, estimate.low, estimate.high)))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as problem:
        raise ExplorerError(f"There is no file {file}; set EXPLORER_DATA to the folder of these datasets.") from problem


def _rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in _read(file).split("\n") if line.strip()]
