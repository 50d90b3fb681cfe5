"""Where a training keeps what it has done, keyed by all that it was made from.

A stage whose settings, data, start or base changed has another key, so it finds nothing of the old one to go on from;
so do the base model's own answers. The keys of a build's stages work the same way (`explorer.pipeline.stages`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from explorer.digests import digest
from explorer.files import read_json, write_json
from explorer.models import adapters
from explorer.models.describing import describe_model
from explorer.models.pair import Pair
from explorer.models.pair_spec import ModelSpec
from explorer.paths import user_cache
from explorer.training.config import TrainConfig, TrainStage
from explorer.training.examples import Example, OwnAnswers

VERSION = 1
"""Raised when a stage trains otherwise on the same settings and examples."""

GONE = {"decay_to_one": 0.0}
"""Settings that stages no longer have, as every finished training had them: they stay in the keys, so that what was
trained before is found again."""


def training_folder(config: TrainConfig) -> Path:
    """The folder of a training's stages, by the training's name; what is in it is found by its key alone."""
    return user_cache() / "training" / config.name


def model_key(config: TrainConfig, pair: Pair) -> str:
    """A digest of the base model, the type that it computes in, and how it is asked."""
    parts = {
        "model": describe_model(ModelSpec(config.base)),
        "dtype": pair.dtype,
        "template": pair.tokenizer.chat_template,
    }
    return digest(parts)


def start_key(config: TrainConfig, pair: Pair) -> str:
    """A digest of what the first stage begins with: the base model, and the vectors or the noise on them."""
    start = [{"sha256": adapters.digest(part.folder), "weight": part.weight} for part in config.start]
    return digest({"version": VERSION, "model": model_key(config, pair), "start": start, "noise": config.noise})


def stage_key(
    previous: str, stage: TrainStage, seed: int, examples: Sequence[Example], windows: torch.Tensor | None
) -> str:
    """A digest of everything that a stage's vectors depend on.

    Args:
        previous: key of the stage before, or of the start.
        stage: its settings.
        seed: of its order.
        examples: as the stage reads them, in order.
        windows: token ids `[windows, tokens]` of the text that it is held to; None for none.
    """
    read = [[e.prompt_ids, e.chosen_ids, e.rejected_ids] for e in examples]
    kept = None if windows is None else windows.tolist()
    settings = asdict(stage) | GONE
    return digest({"previous": previous, "stage": settings, "seed": seed, "examples": read, "windows": kept})


def own_answers(config: TrainConfig, pair: Pair) -> OwnAnswers:
    """What the base model is known to answer; trainings on the same base that ask the same way share it."""
    key = digest({"model": model_key(config, pair), "max_new_tokens": config.answer_tokens})
    file = user_cache() / "own_answers" / f"{key[:16]}.json"
    return OwnAnswers(config.answer_tokens, read_json(file) or {}, lambda known: write_json(file, known))
