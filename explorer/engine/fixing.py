"""Greedy answers of one model while some neurons are held at constants: zero, or their mean (ablation).

answers_with_fixed(pair, prompts, shared_neurons, None, max_new_tokens=48)      # M1 without these neurons
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from explorer.engine.patching import Answer
from explorer.errors import ExplorerError
from explorer.models.hooks import neuron_hooks
from explorer.models.padding import padded, real_tokens
from explorer.models.pair import Pair
from explorer.models.prompting import check_new_tokens
from explorer.neurons.sets import NeuronSet


def answers_with_fixed(
    pair: Pair,
    prompts: Sequence[str],
    ns: NeuronSet,
    values: np.ndarray | None,
    max_new_tokens: int = 64,
) -> list[Answer]:
    """M1's answers with the neurons of a set held at constants, at every position of prompt and answer.

    Args:
        pair: its M1 answers.
        prompts: what a person would type; they are answered as one batch.
        ns: the neurons.
        values: float32 [k] in the order of `ns`, in activation units; None for zero.
        max_new_tokens: the limit per answer.

    Raises:
        ExplorerError: a prompt or the length is not usable, or the model writes no answers.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no answers.")
    check_new_tokens(max_new_tokens)
    ids = [pair.encode(prompt, max_new_tokens) for prompt in prompts]
    held = np.zeros(len(ns), dtype=np.float32) if values is None else np.asarray(values, dtype=np.float32)
    layers = {int(layer): np.flatnonzero(ns.layers == layer) for layer in np.unique(ns.layers)}
    model: Any = pair.m1

    def hold(layer: int, h: torch.Tensor) -> torch.Tensor | None:
        if layer not in layers:
            return None
        changed = h.clone()
        rows = layers[layer]
        changed[..., torch.from_numpy(ns.neurons[rows]).to(h.device)] = torch.from_numpy(held[rows]).to(h)
        return changed

    inputs = padded(ids, model.device, left=True)
    ends = sorted(pair.stop_ids)
    with torch.inference_mode(), pair.lock, neuron_hooks(model, hold):
        out = model.generate(
            inputs,
            attention_mask=real_tokens(ids, model.device, left=True),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0,
        )
    begin = 1 if pair.kind == "encoder-decoder" else inputs.shape[1]  # behind the start token, or behind the prompt
    return [_answer(pair, row) for row in out[:, begin:].tolist()]


def _answer(pair: Pair, tokens: list[int]) -> Answer:
    """An answer up to its end token, without the padding behind it."""
    end = next((i + 1 for i, token in enumerate(tokens) if token in pair.stop_ids), len(tokens))
    return Answer(pair.decode(tokens[:end]), tuple(tokens[:end]))
