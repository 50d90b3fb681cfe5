"""Logits of final hidden states, by whatever a family does behind its body: a transform, a bias, a cap, a scale."""

from typing import TYPE_CHECKING, Any

import torch

from explorer.models.expert_layer import forward_as
from explorer.models.families import body_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class _Body:
    """What a body returns, with nothing in it but final hidden states."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getattr__(self, _name: str) -> None:
        return None

    def __getitem__(self, place: Any) -> Any:
        return (self.last_hidden_state,)[place]


def logits_of(model: "PreTrainedModel", hidden: torch.Tensor) -> torch.Tensor:
    """The logits that a model makes of final hidden states, [rows, vocabulary].

    Args:
        model: one that writes text.
        hidden: [rows, hidden], of its body.
    """
    ids = torch.zeros(len(hidden), 1, dtype=torch.long, device=model.device)
    with forward_as(body_of(model), lambda *_args, **_kwargs: _Body(hidden[:, None])):
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return logits[:, -1]


def decoder_logits_of(model: "PreTrainedModel", hidden: torch.Tensor) -> torch.Tensor:
    """The same of an encoder–decoder, from final hidden states of its decoder; the encoder is not asked."""
    from transformers.modeling_outputs import BaseModelOutput

    module: Any = model
    ids = torch.zeros(len(hidden), 1, dtype=torch.long, device=model.device)
    with forward_as(module.get_decoder(), lambda *_args, **_kwargs: _Body(hidden[:, None])):
        read = BaseModelOutput(last_hidden_state=hidden[:, None])
        logits: torch.Tensor = module(decoder_input_ids=ids, encoder_outputs=read, use_cache=False).logits
    return logits[:, -1]
