"""What the models are asked to do, a batch of prompts at a time: the functions that engines run.

Each is called with the loaded models, what all batches share, and one batch; see `engine.Task`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.data.suites_io import Prompt
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.models import Models

if TYPE_CHECKING:
    import pandas as pd

    from explorer.engine.inspect import WordActivations
    from explorer.engine.patching import Answer
    from explorer.studies.capability import Item

MAX_ROWS = 128
"""Rows of a forward pass while many sets are patched at once."""


@dataclass(frozen=True)
class Patching:
    """How prompts are answered.

    Attributes:
        tokens: length limit of an answer.
        sets: what to patch, each a column of its own; a bare set is patched as in the paper.
        first, second: names of the model that is patched and of the one whose activations it gets.
        unpatched, aligned: whether the plain answers of either are wanted.
    """

    tokens: int
    sets: tuple[NeuronSet | Patch, ...] = ()
    first: str = "m1"
    second: str = "m2"
    unpatched: bool = True
    aligned: bool = True


@dataclass(frozen=True)
class Fixing:
    """The same with constants in place of another model's activations.

    Attributes:
        model: name of the model that answers.
        sets: the neurons to fix, each a column of its own.
        values: float32 [k] for each set, what its neurons are held at; None for zero.
    """

    tokens: int
    model: str
    sets: tuple[NeuronSet, ...]
    values: tuple[np.ndarray | None, ...]


@dataclass(frozen=True)
class Attribution:
    """Settings of `explorer.engine.attribution.Attributing`, as plain values, and the aligned model."""

    second: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Contrasting:
    """Options of `explorer.engine.contrast.contrast_sums`, and the models that are contrasted."""

    tokens: int
    positions: str
    answers: str
    second: str


def answer(models: Models, how: Patching, prompts: list[Prompt]) -> list[dict[str, Any]]:
    """Rows of all columns; "condition" is the set's number, −1 for unpatched answers, −2 for aligned ones."""
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import sweep

    texts = [p.prompt for p in prompts]
    out = sweep(
        models.pair(how.first, how.second),
        texts,
        Columns(list(how.sets), unpatched=how.unpatched, aligned=how.aligned),
        Decoding(how.tokens, max_rows=MAX_ROWS),
    )
    columns = [(-1, out.unpatched)] if how.unpatched else []
    columns += [(-2, out.aligned)] if how.aligned else []
    columns += list(enumerate(out.patched))
    return _rows(prompts, columns)


def answer_fixed(models: Models, how: Fixing, prompts: list[Prompt]) -> list[dict[str, Any]]:
    """Rows of answers written while some neurons are held at constants; "condition" is the set's number."""
    from explorer.engine.fixing import answers_with_fixed

    pair = models.pair(how.model, how.model)
    texts = [p.prompt for p in prompts]
    columns = [
        (number, answers_with_fixed(pair, texts, ns, values, how.tokens))
        for number, (ns, values) in enumerate(zip(how.sets, how.values, strict=True))
    ]
    return _rows(prompts, columns)


def contrast(models: Models, how: Contrasting, prompts: list[str]) -> dict[str, np.ndarray]:
    """Sums of both models' activations, by name."""
    from explorer.engine.contrast import contrast_sums
    from explorer.engine.options import Comparison

    pair = models.pair("m1", how.second)
    return contrast_sums(pair, prompts, Comparison(how.tokens, how.positions, how.answers)).to_arrays()


def attribute(models: Models, how: Attribution, prompts: list[str]) -> dict[str, np.ndarray]:
    """Sums of gradients at every step, by name."""
    from explorer.engine.attributing import Attributing
    from explorer.engine.attribution import attribution_sums

    return attribution_sums(models.pair("m1", how.second), prompts, Attributing(**how.settings)).to_arrays()


def read_last(models: Models, ns: NeuronSet, prompts: list[str]) -> dict[str, np.ndarray]:
    """M1's activations of some neurons at the last prompt token: "activations", float32 [prompts, k]."""
    from explorer.engine.given_text import last_prompt_activations

    return {"activations": last_prompt_activations(models.pair(), prompts, ns)}


def shape(models: Models, _shared: None, _item: None) -> dict[str, Any]:
    """What the pair is like."""
    pair = models.pair()
    size: dict[str, Any] = {"n_layers": pair.n_layers, "n_neurons": pair.n_neurons}
    if pair.experts:
        size["experts"] = list(pair.experts)
    about = {"shared": pair.shared, "computed_in": pair.dtype, "reading": pair.reading.describe()}
    return size | about | ({"quantisation": pair.spec.quantisation} if pair.spec.quantisation else {})


def project_top(models: Models, shared: tuple[NeuronSet, int], _item: None) -> "pd.DataFrame":
    """The vocabulary projection of a set, so many tokens each."""
    from explorer.engine.inspect import project

    return project(models.pair(), *shared)


def read_phrases(models: Models, texts: list[str], _item: None) -> dict[str, np.ndarray]:
    """The n-gram draft of some answers, as arrays."""
    from explorer.engine.drafts import NgramDraft

    tokenizer = models.pair().tokenizer
    return NgramDraft.of(tokenizer(texts, add_special_tokens=False)["input_ids"]).to_arrays()


def read_text(models: Models, shared: tuple[str, NeuronSet, int], _item: None) -> "WordActivations":
    """A set's activations over M1's answer to a prompt."""
    from explorer.engine.inspect import read_words

    return read_words(models.pair(), *shared)


def score(models: Models, scorers: Mapping[str, str], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The verdict and the scores of answers, a dict for each: verdict, refused, degenerate, cost (nan where no scorer
    fills it) and the other columns of `scorers`. What several columns answer alike is scored once.

    Args:
        models: the loaded models and scorers.
        scorers: the scorer behind each column of scores.
        rows: of `answer` or `answer_fixed`.
    """
    from explorer.scoring.verdict import verdicts

    asked = dict.fromkeys((row["prompt"], row["answer"]) for row in rows)
    place = {pair: i for i, pair in enumerate(asked)}
    questions, texts = [question for question, _ in place], [text for _, text in place]
    scores = {"cost": np.full(len(texts), np.nan)}
    for column, name in scorers.items():
        scores[column] = models.scorer(name).score(questions, texts)
    found = [
        {"verdict": v.outcome, "refused": v.refused, "degenerate": v.degenerate}
        | {column: float(values[i]) for column, values in scores.items()}
        for i, v in enumerate(verdicts(texts))
    ]
    return [found[place[row["prompt"], row["answer"]]] for row in rows]


def _rows(prompts: list[Prompt], columns: "Sequence[tuple[int, Sequence[Answer]]]") -> list[dict[str, Any]]:
    """Rows of every column's answers."""
    return [
        {
            "condition": condition,
            "prompt_id": prompt.id,
            "prompt": prompt.prompt,
            "category": prompt.category,
            "answer": given.text,
            "tokens": len(given.token_ids),
        }
        for condition, answers in columns
        for prompt, given in zip(prompts, answers, strict=True)
    ]


@dataclass(frozen=True)
class Scoring:
    """Sets whose effect on reading is measured, from M2 into M1."""

    sets: tuple[NeuronSet, ...]


def score_items(models: Models, how: Scoring, items: "list[Item]") -> list[dict[str, Any]]:
    """Rows of task, id, condition (0 for M1, then each set, then M2) and value, for `capability.capability_table`."""
    return [row for item in items for row in _score_item(models, how, item)]


def _score_item(models: Models, how: Scoring, item: "Item") -> list[dict[str, Any]]:
    from explorer.engine.given_text import token_log_probs
    from explorer.models.prompting import continuation
    from explorer.studies.capability import window_losses

    pair = models.pair()
    if item.task == "wikitext2":
        values = window_losses(pair, item, how.sets)
    elif item.task == "mmlu":
        letters = [continuation(pair.tokenizer, [("user", item.text)], letter)[0] for letter in item.options]
        scores = token_log_probs(pair, [pair.encode(item.text)], how.sets, letters).last[:, 0]
        values = (scores.argmax(axis=1) == item.right).astype(float)
    else:
        lead = pair.encode(item.text)
        tails = [continuation(pair.tokenizer, [("user", item.text)], option) for option in item.options]
        own = token_log_probs(pair, [lead + tail for tail in tails], how.sets).own
        scores = np.stack([o[:, len(lead) - 1 :].sum(axis=1) for o in own], axis=1)
        values = (scores.argmax(axis=1) == item.right).astype(float)
    return [
        {"task": item.task, "id": item.id, "condition": condition, "value": float(value)}
        for condition, value in enumerate(values)
    ]
