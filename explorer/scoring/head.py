"""A linear head on frozen features: how it is kept, read and applied.

A head is a safetensors file whose metadata say what it reads, beside a card (JSON) that tells how well it does.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import paths
from explorer.errors import ExplorerError
from explorer.progress import Progress
from explorer.scoring.features import Reading, answer_features

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Head:
    """Attributes:
    reading: what of an answer it reads.
    weight: float32 [layers × pools × hidden].
    bias: added to each score.
    """

    reading: Reading
    weight: np.ndarray
    bias: float

    def score(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        prompts: Sequence[str],
        texts: Sequence[str],
        progress: Progress | None = None,
    ) -> np.ndarray:
        """float32 [n]: the score of each answer to its prompt."""
        if not texts:
            return np.zeros(0, dtype=np.float32)
        features = answer_features(model, tokenizer, prompts, texts, self.reading, progress=progress)
        return self.apply(features.reshape(len(texts), -1)).astype(np.float32)

    def apply(self, features: np.ndarray) -> np.ndarray:
        """[n]: the scores of features [n, layers × pools × hidden] of its reading."""
        return features @ self.weight + self.bias


def head_file(name: str) -> Path:
    """Where the head of a scorer lies: "demo-cost" → demo_cost.safetensors."""
    return paths.HEADS / f"{name.replace('-', '_')}.safetensors"


def card_file(name: str) -> Path:
    """Where its card lies."""
    return head_file(name).with_suffix(".json")


def read_head(name: str) -> Head:
    """The shipped head of a scorer.

    Raises:
        ExplorerError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = head_file(name)
    try:
        with safe_open(str(path), "np") as file:
            settings = json.loads(file.metadata()["reading"])
            weight, bias = file.get_tensor("weight"), float(file.get_tensor("bias")[0])
        reading = Reading(tuple(settings["layers"]), tuple(settings["pools"]), settings["prompt"], settings["tokens"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise ExplorerError(f"The head {path} is missing or damaged; restore it from the repository.") from problem
    return Head(reading, weight, bias)


def write_head(name: str, head: Head, card: dict[str, Any]) -> None:
    """Keep a head and its card."""
    from safetensors.numpy import save_file

    reading = json.dumps(
        {
            "layers": head.reading.layers,
            "pools": head.reading.pools,
            "prompt": head.reading.prompt,
            "tokens": head.reading.tokens,
        }
    )
    paths.HEADS.mkdir(parents=True, exist_ok=True)
    tensors = {"weight": head.weight.astype(np.float32), "bias": np.array([head.bias], dtype=np.float32)}
    save_file(tensors, str(head_file(name)), metadata={"reading": reading})
    card_file(name).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
