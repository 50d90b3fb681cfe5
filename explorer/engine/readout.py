"""The refusal margin of a residual stream: through final norm and unembedding, as the model reads it out.

readout = Readout(model, margin)
readout.margins(residual)            # the logit lens, at any layer
readout.frozen(residual)             # what of a residual stream the margin reads while the final norm's scale is held

The margin is one of the unembedding's logits: before Gemma 2 caps them, which changes no order of tokens.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from explorer.engine.token_margin import TokenMargin
from explorer.engine.writing import freeze
from explorer.models.families import final_norm

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Readout:
    """Final norm and unembedding of one model, as far as a margin needs them; computed in float32."""

    def __init__(self, model: "PreTrainedModel", margin: TokenMargin) -> None:
        unembedding: Any = model.get_output_embeddings()
        # T5 scales what it unembeds where it shares the embedding's weights.
        self._scale = model.config.d_model**-0.5 if getattr(model.config, "scale_decoder_outputs", False) else 1.0
        self._parts = [copy.deepcopy(part).float() for part in _parts_of(final_norm(model))]
        self._direction = margin.direction(unembedding.weight) * self._scale
        bias = getattr(unembedding, "bias", None)
        self._bias = 0.0 if bias is None else float(margin.of(bias))
        self._device = self._direction.device

    def margins(self, residual: torch.Tensor) -> torch.Tensor:
        """The margin of residual streams [..., hidden], in logits, float32 [...]."""
        with torch.inference_mode():
            x = residual.to(self._device).float()
            for part in self._parts:
                x = part.to(self._device)(x)
            return x @ self._direction + self._bias

    def frozen(self, residual: torch.Tensor) -> torch.Tensor:
        """The directions that the margin reads while the final norm divides by what it does at these residual streams.

        Args:
            residual: [positions, hidden], after the last layer.

        Returns:
            float32 [positions, hidden]; their products with changes of the residual stream are changes of the margin.
        """
        with torch.inference_mode():
            x = residual.to(self._device).float()
            back: list[Callable[[torch.Tensor], torch.Tensor]] = []
            for part in self._parts:
                module = part.to(self._device)
                back.append(partial(_before, module) if isinstance(module, nn.Linear) else freeze(module, x).back)
                x = module(x)
            read = self._direction.expand(len(residual), -1)
            for step in reversed(back):
                read = step(read)
            return read


def _parts_of(norm: nn.Module) -> list[nn.Module]:
    """The norm, and OPT's projection behind it; a model may lack either."""
    return list(norm) if isinstance(norm, nn.Sequential) else [norm]


def _before(project: nn.Linear, direction: torch.Tensor) -> torch.Tensor:
    """The direction before a projection that is read where one after it is."""
    return direction @ project.weight
