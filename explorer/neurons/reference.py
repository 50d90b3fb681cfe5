"""The naive form of dynamic activation patching: the reference that every fast form is checked against.

No KV cache, no batch, no shared pass: at each step a full forward of M2 on the current text, then a
full forward of M1 on the same text with the chosen neurons replaced. Slow on purpose; read it to
know what the fast form means.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair
from explorer.neurons.sets import NeuronSet

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def naive_activations(model: "PreTrainedModel", ids: list[int]) -> list[torch.Tensor]:
    """What each layer's `down_proj` receives on a text, a list of [positions, n_neurons]."""
    seen: list[torch.Tensor] = []
    with torch.inference_mode(), neuron_hooks(model, lambda _layer, h: seen.append(h[0].clone())):
        model(torch.tensor([ids], device=model.device), use_cache=False)
    return seen


def naive_patched(pair: Pair, ids: list[int], ns: NeuronSet, max_new_tokens: int) -> list[int]:
    """Token ids of M1's patched greedy answer to the prompt `ids`, the end token included."""
    return _greedy(pair, ids, max_new_tokens, lambda text: _patched_logits(pair, text, ns))


def naive_greedy(pair: Pair, model: "PreTrainedModel", ids: list[int], max_new_tokens: int) -> list[int]:
    """Token ids of a plain greedy answer, by full forward passes."""
    return _greedy(pair, ids, max_new_tokens, lambda text: model(_row(model, text), use_cache=False).logits[0, -1])


def _patched_logits(pair: Pair, text: list[int], ns: NeuronSet) -> torch.Tensor:
    """Next-token logits [vocabulary] of patched M1 on a text; every position is patched."""
    source = naive_activations(pair.m2, text)
    mask = torch.from_numpy(ns.mask())
    m1 = pair.m1

    def patch(layer: int, h: torch.Tensor) -> torch.Tensor:
        return torch.where(mask[layer].to(h.device), source[layer].to(h), h)

    with neuron_hooks(m1, patch):
        return m1(_row(m1, text), use_cache=False).logits[0, -1]


def _greedy(
    pair: Pair, ids: list[int], max_new_tokens: int, logits_of: Callable[[list[int]], torch.Tensor]
) -> list[int]:
    answer: list[int] = []
    with torch.inference_mode():
        while len(answer) < max_new_tokens:
            answer.append(int(logits_of(ids + answer).float().argmax()))
            if answer[-1] in pair.stop_ids:
                break
    return answer


def _row(model: "PreTrainedModel", ids: list[int]) -> torch.Tensor:
    return torch.tensor([ids], device=model.device)
