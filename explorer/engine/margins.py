"""How much likelier one answer is than another under patching, both read as given (teacher forcing).

answer_margins(pair, ids, second, first, [ranking.top(1)])          # M1, and M1 patched with each set
answer_margins(pair.reversed(), ids, second, first, sets)           # M2, and M2 with M1's activations

A greedy answer changes only where a token overtakes another; the margin moves before that, so it shows what one neuron
does where no answer changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from explorer.engine.mixing import guide_activations, token_log_probs_at
from explorer.engine.reading import Inputs, TokenText, batches, inputs_of, positions_of_layers
from explorer.engine.sane import not_finite
from explorer.engine.skipping import FirstBlocks
from explorer.errors import ExplorerError
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair, apply_scale
from explorer.neurons.sets import NeuronSet

BATCH = 8
"""Texts read at once: all layers' activations of the other model are held for them."""


def answer_margins(
    pair: Pair,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    others: Sequence[Sequence[int]],
    sets: Sequence[NeuronSet],
) -> np.ndarray:
    """log p(answer | prompt) − log p(other answer | prompt), in nats, by M1 and by M1 patched with each set.

    M2 reads each text too, and its activations take the place of M1's at the set's neurons, at all positions.

    Args:
        pair: the models; `pair.reversed()` for M2 patched with M1's activations.
        prompts: token ids of each prompt.
        answers, others: token ids of two answers to each prompt, one token at least.
        sets: the sets to patch.

    Returns:
        float64 [1 + sets, prompts]: M1, then each set in turn; 0 where both answers are the same.

    Raises:
        ExplorerError: the models write no answers, or a log-probability is NaN or infinite.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no answers; no answer has a log-probability.")
    margins = np.zeros((1 + len(sets), len(prompts)))
    for batch in margin_batches(prompts, answers, others):
        margins += batch_margins(pair, batch, sets, len(prompts))
    return margins


@dataclass(frozen=True)
class Counted(TokenText):
    """A text of a prompt by its number, whose answer counts with a sign."""

    number: int = 0
    sign: float = 1.0


def margin_batches(
    prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], others: Sequence[Sequence[int]]
) -> list[list[Counted]]:
    """The texts that `answer_margins` reads, as it reads them; prompts whose two answers are the same have none."""
    texts = []
    for number, (prompt, answer, other) in enumerate(zip(prompts, answers, others, strict=True)):
        if tuple(answer) != tuple(other):
            texts += [Counted(prompt, answer, number, 1.0), Counted(prompt, other, number, -1.0)]
    return [batch for _, batch in batches(texts, BATCH)]


def batch_margins(pair: Pair, batch: Sequence[Counted], sets: Sequence[NeuronSet], prompts: int) -> np.ndarray:
    """What one batch of `margin_batches` adds to the margins of so many prompts, float64 [1 + sets, prompts].

    Raises:
        ExplorerError: a log-probability is NaN or infinite.
    """
    margins = np.zeros((1 + len(sets), prompts))
    if not batch:
        return margins
    masks = [None, *(torch.from_numpy(ns.mask()) for ns in sets)]
    # What no neuron of a set changes is read once, with M1 itself.
    firsts = [0, *(int(ns.layers.min()) if len(ns) else 0 for ns in sets)]
    blocks = FirstBlocks(pair.backbone1)
    # The last token of an answer predicts nothing that counts.
    inputs = inputs_of(pair.backbone1, [TokenText(text.prompt, text.answer[:-1]) for text in batch])
    at = positions_of_layers(pair, inputs, batch, "paper")[-1]
    tokens = torch.tensor([token for text in batch for token in text.answer])
    ends = np.cumsum([len(text.answer) for text in batch])[:-1]
    with torch.inference_mode(), pair.lock:
        guide = guide_activations(pair, inputs)
        for row, (mask, first) in enumerate(zip(masks, firsts, strict=True)):
            with blocks.skipped(first) if row else blocks.kept(firsts[1:]):
                found = _log_probs(pair, inputs, guide, mask, at, tokens)
            for text, own in zip(batch, np.split(found, ends), strict=True):
                margins[row, text.number] += text.sign * own.sum()
    if not np.isfinite(margins).all():
        raise ExplorerError(not_finite("M1", None, pair.dtype))
    return margins


def _log_probs(
    pair: Pair,
    inputs: Inputs,
    guide: list[torch.Tensor],
    mask: torch.Tensor | None,
    at: torch.Tensor,
    tokens: torch.Tensor,
) -> np.ndarray:
    """float64 [answer tokens]: log-probabilities by M1, patched where the mask [n_layers, n_neurons] is true."""

    def patch(layer: int, h: torch.Tensor) -> torch.Tensor | None:
        own = h if pair.scale1 is None else apply_scale(h, pair.scale1[layer])
        if mask is None or not mask[layer].any():
            return own
        return torch.where(mask[layer].to(h.device), guide[layer].to(own), own)

    with neuron_hooks(pair.backbone1, patch):
        return token_log_probs_at(pair.backbone1, inputs, at, tokens).double().cpu().numpy()
