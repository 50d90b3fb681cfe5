"""Beaver's score models (PKU-Alignment/beaver-7b-v1.0-cost and -reward): a Llama with a scalar head.

Their checkpoints hold `model.*` (a LlamaModel), `score_head.weight` [1, hidden], `score_head.bias` [1] and running
statistics of training (`normalizer.*`), which scoring does not read.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import LlamaModel, LlamaPreTrainedModel

from explorer.errors import ExplorerError, first_line
from explorer.models.places import model_folder


class LlamaForScore(LlamaPreTrainedModel):
    """A Llama whose head gives a scalar at every position; the layout and class name of the published checkpoints."""

    _keys_to_ignore_on_load_unexpected = [r"normalizer\..*"]  # noqa: RUF012  (transformers reads it from the class)

    def __init__(self, config) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        bias = bool(getattr(config, "score_bias", getattr(config, "bias", True)))
        self.score_head = nn.Linear(config.hidden_size, 1, bias=bias)
        self.post_init()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """float32 [rows, positions]: the score at each position of int64 [rows, positions] token ids."""
        hidden = self.model(input_ids=input_ids, use_cache=False).last_hidden_state
        return self.score_head(hidden).squeeze(-1).float()


def load_score_model(place: str, options: Mapping[str, Any]) -> LlamaForScore:
    """The score model of a hub id or folder.

    Args:
        place: that id or folder.
        options: type and place of the weights, as `from_pretrained` takes them.

    Raises:
        ExplorerError: it is not there, or has no score head.
    """
    folder = model_folder(place)
    try:
        loaded: Any = LlamaForScore.from_pretrained(
            folder, output_loading_info=True, use_safetensors=True, local_files_only=True, **options
        )
    except torch.OutOfMemoryError as problem:
        raise ExplorerError(
            f"The judge “{place}” does not fit into the memory of its device; use a smaller dtype or another device "
            "under [judges]."
        ) from problem
    except (OSError, ValueError, RuntimeError) as problem:
        reason = first_line(problem)
        raise ExplorerError(f"The judge “{place}” could not be loaded: {reason}") from problem
    model, info = loaded
    if info["missing_keys"]:
        raise ExplorerError(f"{place} is no score model of Beaver's kind: it lacks {sorted(info['missing_keys'])[0]}.")
    return model.eval().requires_grad_(False)
