"""What the models are asked to do, a batch of prompts at a time: the functions that engines run.

Each is called with the loaded models, what all batches share, and one batch; see `engine.Task`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.data.suites_io import Prompt
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.models import Models
from explorer.studies.answering import answer_rows

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
    return answer_rows(prompts, columns)


def contrast(models: Models, how: Contrasting, prompts: list[str]) -> dict[str, np.ndarray]:
    """Sums of both models' activations, by name."""
    from explorer.engine.contrast import contrast_sums
    from explorer.engine.options import Comparison

    pair = models.pair("m1", how.second)
    return contrast_sums(pair, prompts, Comparison(how.tokens, how.positions, how.answers)).to_arrays()


def attribution_batches(models: Models, how: Attribution, prompts: list[str]) -> list[dict[str, Any]]:
    """The texts that prompts are attributed by, in the batches that they are read in; at least one."""
    from explorer.engine.attributing import Attributing
    from explorer.engine.attribution import attribution_batches as batches_of

    found = batches_of(models.pair("m1", how.second), prompts, Attributing(**how.settings))
    return [batch.to_row() for batch in found]


def attribute(models: Models, how: Attribution, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Sums of gradients at every step over a batch of `attribution_batches`, by name."""
    from explorer.engine.attributing import Attributing
    from explorer.engine.attribution import Batch, batch_sums

    pair = models.pair("m1", how.second)
    return batch_sums(pair, Batch.from_row(batch), Attributing(**how.settings)).to_arrays()


def shape(models: Models, _shared: None, _item: None) -> dict[str, Any]:
    """What the pair is like."""
    pair = models.pair()
    size: dict[str, Any] = {"n_layers": pair.n_layers, "n_neurons": pair.n_neurons} | pair.layout
    about = {"shared": pair.shared, "computed_in": pair.dtype, "reading": pair.reading.describe()}
    return size | about | ({"quantisation": pair.spec.quantisation} if pair.spec.quantisation else {})


def read_phrases(models: Models, texts: list[str], _item: None) -> dict[str, np.ndarray]:
    """The n-gram draft of some answers, as arrays."""
    from explorer.engine.drafts import NgramDraft

    tokenizer = models.pair().tokenizer
    return NgramDraft.of(tokenizer(texts, add_special_tokens=False)["input_ids"]).to_arrays()


def score(models: Models, _shared: None, item: tuple[list[str], list[list[str]]]) -> dict[str, list[float]]:
    """Scorers' numbers of answers, by scorer. What several columns answer alike is scored once.

    Args:
        models: the loaded models and scorers.
        item: which scorers, and the prompt and answer of each.
    """
    scorers, pairs = item
    asked = list(dict.fromkeys((prompt, text) for prompt, text in pairs))
    prompts, texts = [prompt for prompt, _ in asked], [text for _, text in asked]
    scores: dict[str, list[float]] = {}
    for scorer in scorers:
        found = dict(zip(asked, map(float, models.scorer(scorer).score(prompts, texts)), strict=True))
        scores[scorer] = [found[prompt, text] for prompt, text in pairs]
    return scores
