"""M1 with its neurons mixed with M2's on the same text, and the gradients of that.

    h = a1 + m (a2 − a1), for every neuron of every layer, where a1 is what the mixed M1 itself computes.

Gradients reach the neurons and no weight; logits are computed at the positions that predict an answer, no others.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from explorer.engine.backends.choosing import read_texts
from explorer.engine.next_token import logits_at
from explorer.engine.reading import Inputs
from explorer.models.hooks import neuron_hooks
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair, apply_scale, scale_in_place

if TYPE_CHECKING:
    from transformers import PreTrainedModel

See = Callable[[int, torch.Tensor, torch.Tensor], None]
"""Gets a layer, and M1's and M2's activations there, [rows, positions, n_neurons]."""


def guide_activations(pair: Pair, inputs: Inputs) -> list[torch.Tensor]:
    """M2's activations on a batch of texts, for each layer [rows, positions, n_neurons] where that layer of M1 is."""
    devices = [layer.device for layer in neuron_layers(pair.backbone1)]
    seen: list[torch.Tensor] = []

    def keep(layer: int, h: torch.Tensor) -> None:
        if pair.scale2 is not None:
            scale_in_place(h, pair.scale2[layer])
        seen.append(h.to(devices[layer]))

    with torch.no_grad():
        read_texts(pair.backbone2, {name: value.to(pair.backbone2.device) for name, value in inputs.items()}, keep)
    return seen


def mixed_gradients(
    pair: Pair,
    inputs: Inputs,
    guide: list[torch.Tensor],
    step: float,
    at: torch.Tensor,
    tokens: torch.Tensor,
    signs: torch.Tensor,
    see: See | None = None,
) -> tuple[float, list[torch.Tensor]]:
    """L = Σ sign × log p(token) of M1 mixed by m = `step` throughout, and its gradient by each neuron's m.

    Args:
        pair: the models; the caller holds its lock.
        inputs: a batch of texts, see `reading.inputs_of`.
        guide: of `guide_activations`, for these inputs.
        step: m, from 0 (M1) to 1 (M2's activations).
        at: int64 [answer tokens], positions that predict them, in the flattened [rows, positions].
        tokens: int64 [answer tokens].
        signs: float32 [answer tokens].
        see: is shown every layer's activations on the way.

    Returns:
        L in nats, and ∂L/∂m summed over all positions, for each layer float32 [n_neurons].
    """
    mix_rows: Any = _Mix.apply  # without annotations in torch
    masks = [torch.zeros(h.shape[-1], device=h.device, requires_grad=True) for h in guide]

    def mix(layer: int, h: torch.Tensor) -> torch.Tensor:
        a1 = h if pair.scale1 is None else apply_scale(h, pair.scale1[layer])
        if see is not None:
            see(layer, a1.detach(), guide[layer])
        mixed: torch.Tensor = mix_rows(a1, guide[layer], masks[layer], step)
        return mixed

    with torch.enable_grad(), neuron_hooks(pair.backbone1, mix):
        log_probs = token_log_probs_at(pair.backbone1, inputs, at, tokens)
        total = (log_probs * signs.to(log_probs.device)).sum()
        found = torch.autograd.grad(total, masks, allow_unused=True)  # a block may have no neurons
        gradients = [torch.zeros_like(m) if g is None else g for m, g in zip(masks, found, strict=True)]
    return total.item(), gradients


def token_log_probs_at(
    model: "PreTrainedModel", inputs: Inputs, at: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """float32 [answer tokens]: log-probabilities of tokens after some positions alone, see `logits_at`.

    Args:
        model: a model of a known family.
        inputs: a batch of texts, see `reading.inputs_of`.
        at: int64 [answer tokens], in the flattened [rows, positions].
        tokens: int64 [answer tokens].
    """
    logits = logits_at(model, inputs, at)
    return -functional.cross_entropy(logits, tokens.to(logits.device), reduction="none")


class _Mix(torch.autograd.Function):
    """a1 + m (a2 − a1), and the gradients by a1 and by each neuron's m; a2 is held fixed."""

    @staticmethod
    def forward(ctx: Any, a1: torch.Tensor, a2: torch.Tensor, _mask: torch.Tensor, step: float) -> torch.Tensor:
        difference = a2 - a1
        ctx.save_for_backward(difference)
        ctx.step = step
        return torch.add(a1, difference, alpha=step)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, None, torch.Tensor, None]:
        (gradient,), (difference,) = gradients, ctx.saved_tensors
        by_mask = (gradient.float() * difference.float()).flatten(0, -2).sum(dim=0)
        by_first = gradient * (1 - ctx.step) if ctx.needs_input_grad[0] else None
        return by_first, None, by_mask, None
