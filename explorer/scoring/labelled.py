"""What the demo's score heads are fitted and tested on: labelled answers and preference pairs, and their features.

The public ones are read from `$EXPLORER_DATA`; the project's own lie beside the heads (`heads/README.md`).
"""

import hashlib
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explorer import paths
from explorer.data.preferences import load_preferences
from explorer.data.suites_io import load_refusals, read_jsonl
from explorer.errors import ExplorerError
from explorer.scoring.features import Reading, answer_features, feature_model
from explorer.scoring.fitting import Texts

PER_QUESTION = 36
"""Responses of each GPTFuzz question that the cost head is fitted on."""

MAX_PROMPT_WORDS = 60
"""Longer first turns of preference dialogues are left out."""

HELD_OUT = {"hh_helpful": 500, "webgpt": 250}
"""The first so many pairs of a file are never fitted on."""


@dataclass(frozen=True)
class Labelled:
    """Answers with labels, before they are read by the model.

    Attributes:
        name: of the source.
        prompts: empty strings where the source does not tell them.
        labels: 1 harmful, 0 not; of pairs, 1 for the chosen answer and 0 for the rejected one after it.
        groups: the question of each answer.
    """

    name: str
    prompts: tuple[str, ...]
    texts: tuple[str, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]

    @property
    def knows_prompts(self) -> bool:
        """Whether the source tells the prompts."""
        return any(self.prompts)


def gptfuzz(data: Path, part: str, per_question: int = 0) -> Labelled:
    """GPTFuzz's labelled responses, part "train" or "evaluate" (other questions); their questions are ids only.

    Raises:
        ExplorerError: the file is missing, or a row lacks a column.
    """
    file = data / "judge" / f"gptfuzz_{part}.jsonl"
    rows = list(read_jsonl(file))
    for number, row in enumerate(rows, 1):
        if not {"question", "Response", "label"} <= set(row) or str(row["label"]) not in ("0", "1"):
            raise ExplorerError(f"{file}, row {number}, needs a question, a Response, and a label of 0 or 1.")
    if per_question:
        by_question: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            by_question.setdefault(row["question"], []).append(i)
        rng = random.Random(0)
        kept = sorted(i for own in by_question.values() for i in rng.sample(own, min(per_question, len(own))))
        rows = [rows[i] for i in kept]
    return Labelled(
        f"gptfuzz_{part}",
        ("",) * len(rows),
        tuple(row["Response"] for row in rows),
        tuple(int(row["label"]) for row in rows),
        tuple(row["question"] for row in rows),
    )


def own_written() -> Labelled:
    """The project's own pairs: refusals, safe advice, evasions, help and compliance."""
    return _own("own_written", "own_pairs.jsonl")


def model_answers() -> Labelled:
    """Answers of M1 and M2 to prompts of the training suites, read and labelled one by one; none in doubt."""
    return _own("model_answers", "model_answers.jsonl")


def verdict_answers() -> list[dict]:
    """Answers of plain and patched models, read blind to the model: keys id, part ("read" for the wording of refusals,
    "checked" after it, "withheld" from the second wording, "independent" of both, "prompted" for the rules that know
    the prompt, "fourth", withheld from those, or "fifth" to "tenth", plain samples of what a run called refusals),
    suite, column, answer, label ("refused", "answered", "unclear"), degenerate (null where not read for), and of own
    suites prompt."""
    return list(read_jsonl(paths.HEADS / "verdicts.jsonl"))


def _own(name: str, file: str) -> Labelled:
    rows = [row for row in read_jsonl(paths.HEADS / file) if not row.get("doubt")]
    columns = [tuple(row[key] for row in rows) for key in ("prompt", "answer", "label")]
    return Labelled(name, columns[0], columns[1], columns[2], columns[0])


def preferred(data: Path, name: str, held_out: bool, limit: int) -> Labelled:
    """Pairs of first answers of which people preferred one; the chosen one comes first."""
    pairs = load_preferences(data / "preferences" / f"{name}.jsonl")
    pairs = pairs[: HELD_OUT[name]] if held_out else pairs[HELD_OUT[name] :]
    short = [p for p in pairs if len(p.turns) == 1 and len(p.turns[0][1].split()) <= MAX_PROMPT_WORDS][:limit]
    return _pairs(name, [(p.turns[0][1], p.chosen, p.rejected) for p in short])


def unhelpful() -> Labelled:
    """M1's answers to harmless prompts against what is no help: a refusal, going round in circles, another's answer."""
    rows = _help()[::2]
    refusals = [r.text for r in load_refusals() if "any" in r.categories]
    pairs = []
    for i, row in enumerate(rows):
        words = row["answer"].split()
        round_in_circles = " ".join(words[:6] * 8)
        other = rows[(i + len(rows) // 2) % len(rows)]["answer"]
        pairs += [(row["prompt"], row["answer"], bad) for bad in (refusals[i % len(refusals)], round_in_circles, other)]
    return _pairs("unhelpful", pairs)


def usual_answers() -> Labelled:
    """M1's own answers to ordinary prompts: where the reward is zero."""
    rows = _help()
    prompts = tuple(r["prompt"] for r in rows)
    return Labelled("usual", prompts, tuple(r["answer"] for r in rows), (0,) * len(rows), prompts)


def _help() -> list[dict]:
    """M1's labelled answers to harmless prompts that say something."""
    rows = read_jsonl(paths.HEADS / "model_answers.jsonl")
    return [r for r in rows if r["model"] == "M1" and "-rt-" not in r["id"] and not r["degenerate"]]


def _pairs(name: str, pairs: Sequence[tuple[str, str, str]]) -> Labelled:
    return Labelled(
        name,
        tuple(prompt for prompt, _, _ in pairs for _ in (0, 1)),
        tuple(text for _, chosen, rejected in pairs for text in (chosen, rejected)),
        (1, 0) * len(pairs),
        tuple(prompt for prompt, _, _ in pairs for _ in (0, 1)),
    )


def read(source: Labelled, alone: bool, prompted: bool, tokens: int, say: Callable[[str], None] = print) -> Texts:
    """The features of a source, kept in the user's cache: reading them is nearly all of the work."""
    return Texts(
        source.name,
        _features(source, False, tokens, say) if alone else None,
        _features(source, True, tokens, say) if prompted and source.knows_prompts else None,
        np.array(source.labels),
        np.array(source.groups),
    )


def _features(source: Labelled, prompt: bool, tokens: int, say: Callable[[str], None]) -> np.ndarray:
    reading = Reading(prompt=prompt, tokens=tokens)
    key = json.dumps([source.prompts if prompt else "", source.texts, repr(reading)])
    name = f"{source.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    file = paths.user_cache() / "features" / name
    if file.is_file():
        return np.load(file, allow_pickle=False)
    model, tokenizer = feature_model()
    values = answer_features(
        model, tokenizer, source.prompts, source.texts, reading, progress=lambda s: say(f"{source.name} {s:.0%}")
    ).astype(np.float16)
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".half.npy")
    np.save(half, values)
    os.replace(half, file)
    return values
