"""Logits after some positions of a batch alone, as the model itself gives them."""

from typing import TYPE_CHECKING, Any

import torch

from explorer.engine.reading import Inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def logits_at(model: "PreTrainedModel", inputs: Inputs, at: torch.Tensor) -> torch.Tensor:
    """float32 [picked, vocabulary]: logits after some positions.

    What the unembedding receives is cut down to those positions, so that whatever a family does to its logits (Gemma 2
    caps them, T5 scales them) is done by its own forward.

    Args:
        model: a model that writes text.
        inputs: a batch of texts, see `reading.inputs_of`.
        at: int64 [picked], positions in the flattened [rows, positions].
    """

    def pick(_module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        hidden = args[0]
        return (hidden.flatten(0, 1)[at.to(hidden.device)][None],)

    unembedding: Any = model.get_output_embeddings()
    handle = unembedding.register_forward_pre_hook(pick)
    try:
        logits: torch.Tensor = model(**inputs, use_cache=False).logits[0].float()
    finally:
        handle.remove()
    return logits
