"""The naive form of dynamic activation patching: the reference that every fast form is checked against.

No KV cache, no batch, no shared pass: at each step a full forward of M2 on the current text, then a
full forward of M1 on the same text with the chosen neurons replaced. Slow on purpose; read it to
know what the fast form means.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from explorer.engine.reading import TokenText, inputs_of, read
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair
from explorer.neurons.sets import NeuronSet

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def naive_activations(model: "PreTrainedModel", ids: list[int], answer: Sequence[int] = ()) -> list[torch.Tensor]:
    """What each layer's `down_proj` receives on a prompt and an answer, a list of [positions, n_neurons].

    An encoder–decoder reads `ids` with its encoder and `answer` with its decoder; a decoder reads one after the other.
    """
    seen: list[torch.Tensor] = []
    with torch.inference_mode(), neuron_hooks(model, lambda _layer, h: seen.append(h[0].clone())):
        read(model, inputs_of(model, [TokenText(ids, answer)]))
    return seen


def naive_patched(
    pair: Pair,
    ids: list[int],
    ns: NeuronSet,
    max_new_tokens: int,
    strength: float = 1.0,
    positions: str | int = "all",
    opening: Sequence[int] = (),
) -> list[int]:
    """Token ids of M1's patched greedy answer to the prompt `ids`, the end token included.

    Args:
        pair: the models.
        ids: the prompt.
        ns: the neurons to patch.
        max_new_tokens: the limit.
        strength, positions: see `patching.generate`.
        opening: what the answer begins with.
    """
    return _greedy(
        pair,
        max_new_tokens,
        lambda answer: _patched_logits(pair, TokenText(ids, answer), ns, strength, positions),
        opening,
    )


def naive_greedy(
    pair: Pair, model: "PreTrainedModel", ids: list[int], max_new_tokens: int, opening: Sequence[int] = ()
) -> list[int]:
    """Token ids of a plain greedy answer, by full forward passes."""
    return _greedy(pair, max_new_tokens, lambda answer: _logits(model, TokenText(ids, answer)), opening)


def naive_mixed_log_prob(pair: Pair, ids: list[int], answer: Sequence[int], mask: torch.Tensor) -> float:
    """log p(answer | prompt) in nats of M1 whose neurons are mixed with M2's on the same text: a1 + m (a2 − a1).

    Args:
        pair: the models.
        ids: token ids of the prompt.
        answer: token ids of the answer.
        mask: float32 [n_layers, n_neurons], m.
    """
    read = answer[:-1]  # the last token predicts nothing that counts
    source = naive_activations(pair.m2, ids, read)
    m1 = pair.m1
    with (
        torch.inference_mode(),
        neuron_hooks(m1, lambda layer, h: h + mask[layer].to(h) * (source[layer].to(h) - h)),
    ):
        logits = m1(**inputs_of(m1, [TokenText(ids, read)]), use_cache=False).logits[0]
    log_probs = logits[-len(answer) :].double().log_softmax(dim=-1)
    return float(log_probs[range(len(answer)), list(answer)].sum())


def _patched_logits(pair: Pair, text: TokenText, ns: NeuronSet, strength: float, positions: str | int) -> torch.Tensor:
    """Next-token logits [vocabulary] of patched M1 on a text."""
    source = naive_activations(pair.m2, list(text.prompt), text.answer)
    mask = torch.from_numpy(ns.mask())
    m1 = pair.m1
    where = {part: torch.tensor(_is_patched(pair.kind, part, text, positions))[:, None] for part in pair.parts}
    part_of = {layer: part for part, layers in pair.parts.items() for layer in layers}

    def patch(layer: int, h: torch.Tensor) -> torch.Tensor:
        a2 = source[layer].to(h)
        new = a2 if strength == 1 else h + strength * (a2 - h)
        return torch.where((mask[layer] & where[part_of[layer]]).to(h.device), new, h)

    with neuron_hooks(m1, patch):
        return _logits(m1, text)


def _is_patched(kind: str, part: str, text: TokenText, positions: str | int) -> list[bool]:
    """Whether each position of a text that a part of the model reads is patched, see `patch.POSITIONS`."""
    prompt, answer = len(text.prompt), len(text.answer)
    if kind == "encoder-decoder":
        prompt, answer = (prompt, 0) if part == "encoder" else (1, answer)
    if isinstance(positions, int):
        return [False] * prompt + [number < positions for number in range(answer)]
    if found := re.fullmatch(r"prompt\[-(\d+)\]", positions):
        return [number == prompt - int(found[1]) for number in range(prompt)] + [False] * answer
    if found := re.fullmatch(r"prompt\+answer\[:(\d+)\]", positions):
        return [True] * prompt + [number < int(found[1]) for number in range(answer)]
    if found := re.fullmatch(r"answer\[(\d+):\]", positions):
        return [False] * prompt + [number >= int(found[1]) for number in range(answer)]
    return {
        "all": [True] * (prompt + answer),
        "prompt": [True] * prompt + [False] * answer,
        "last_prompt": [False] * (prompt - 1) + [True] + [False] * answer,
        "answer": [False] * prompt + [True] * answer,
    }[positions]


def _greedy(
    pair: Pair, max_new_tokens: int, logits_of: Callable[[list[int]], torch.Tensor], opening: Sequence[int] = ()
) -> list[int]:
    answer = list(opening)
    with torch.inference_mode():
        while len(answer) < max_new_tokens:
            answer.append(int(logits_of(answer).float().argmax()))
            if answer[-1] in pair.stop_ids:
                break
    return answer


def _logits(model: "PreTrainedModel", text: TokenText) -> torch.Tensor:
    logits: torch.Tensor = model(**inputs_of(model, [text]), use_cache=False).logits
    return logits[0, -1]
