"""Rows of answers, and the task that answers while neurons are held at constants."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.data.suites_io import Prompt
from explorer.neurons.sets import NeuronSet
from explorer.studies.given import LoadedModels

if TYPE_CHECKING:
    from explorer.engine.patching import Answer


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


def answer_fixed(models: LoadedModels, how: Fixing, prompts: list[Prompt]) -> list[dict[str, Any]]:
    """Rows of answers written while some neurons are held at constants; "condition" is the set's number."""
    from explorer.engine.fixing import answers_with_fixed

    pair = models.pair(how.model, how.model)
    texts = [p.prompt for p in prompts]
    columns = [
        (number, answers_with_fixed(pair, texts, ns, values, how.tokens))
        for number, (ns, values) in enumerate(zip(how.sets, how.values, strict=True))
    ]
    return answer_rows(prompts, columns)


def answer_rows(prompts: list[Prompt], columns: "Sequence[tuple[int, Sequence[Answer]]]") -> list[dict[str, Any]]:
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
