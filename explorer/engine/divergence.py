"""How far M1, and M1 with each of several patches, is from M2 along a given answer: KL divergence token by token.

answer_divergences(pair, ids, answers_of_m2, [Patch(neurons), Patch(neurons, positions="prompt")])

All read the same text (teacher forcing), so that the numbers say where two models part and not what became of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from explorer.engine.mixing import guide_activations
from explorer.engine.next_token import logits_at
from explorer.engine.reading import Inputs, TokenText, batches, inputs_of, positions_of_layers
from explorer.engine.sane import not_finite
from explorer.errors import ExplorerError
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair, apply_scale
from explorer.neurons.patch import Patch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH = 8
"""Texts read at once: all layers' activations of M2, and its logits, are held for them."""


def answer_divergences(
    pair: Pair, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], patches: Sequence[Patch]
) -> list[np.ndarray]:
    """KL(M2 ‖ M1) and KL(M2 ‖ patched M1) in nats, at every token of an answer to each prompt.

    At a token stands how the models' predictions of that token differ, made one position before it.

    Args:
        pair: the models.
        prompts: token ids of each prompt.
        answers: token ids of an answer to each, one token at least; M2's own, to see what it takes to write as it does.
        patches: what is patched from M2 into M1; strengths and positions as in decoding.

    Returns:
        For each prompt float32 [1 + patches, answer tokens]: M1, then each patch in turn.

    Raises:
        ExplorerError: the models write no answers, or a probability is NaN.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no answers; there is nothing to compare along.")
    found: list[np.ndarray] = [np.zeros(0)] * len(prompts)
    texts = [_Numbered(p, a[:-1], i, len(a)) for i, (p, a) in enumerate(zip(prompts, answers, strict=True))]
    # The last token of an answer predicts nothing that counts; before the first one, the prompt's last does.
    for _, batch in batches(texts, BATCH):
        inputs = inputs_of(pair.backbone1, batch)
        counted = [TokenText(text.prompt, range(text.tokens)) for text in batch]
        at = positions_of_layers(pair, inputs, counted, "paper")[-1]
        with torch.inference_mode(), pair.lock:
            guide = guide_activations(pair, inputs)
            second = _logits(pair.backbone2, inputs, at, _scaling(pair.scale2)).log_softmax(dim=-1)
            changes = [_scaling(pair.scale1), *(_patching(pair, guide, batch, patch) for patch in patches)]
            divergences = np.stack([_kl(second, _logits(pair.backbone1, inputs, at, change)) for change in changes])
        ends = np.cumsum([text.tokens for text in batch])[:-1]
        for text, own in zip(batch, np.split(divergences, ends, axis=1), strict=True):
            found[text.number] = own
    if not all(np.isfinite(own).all() for own in found):
        raise ExplorerError(not_finite("M1", None, pair.dtype))
    return found


@dataclass(frozen=True)
class _Numbered(TokenText):
    """A text of a prompt by its number, and how many tokens its whole answer has."""

    number: int = 0
    tokens: int = 0


Change = Callable[[int, torch.Tensor], torch.Tensor | None]
"""Gets a layer and its neurons' activations, and gives what takes their place; None for nothing."""


def _logits(model: "PreTrainedModel", inputs: Inputs, at: torch.Tensor, change: Change) -> torch.Tensor:
    """float32 [tokens, vocabulary]: what a model predicts at some positions while its neurons are changed."""
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    with neuron_hooks(model, change):
        return logits_at(model, inputs, at)


def _scaling(scale: list[torch.Tensor] | None) -> Change:
    """A model's own (IA)³ factors."""
    return lambda layer, h: None if scale is None else apply_scale(h, scale[layer])


def _patching(pair: Pair, guide: list[torch.Tensor], texts: Sequence[TokenText], patch: Patch) -> Change:
    """M1 with a patch; `guide` holds M2's activations on the same texts."""
    mask, strength = torch.from_numpy(patch.neurons.mask()), patch.strength
    part_of = {layer: part for part, layers in pair.parts.items() for layer in layers}

    def change(layer: int, h: torch.Tensor) -> torch.Tensor | None:
        own = h if pair.scale1 is None else apply_scale(h, pair.scale1[layer])
        if not mask[layer].any():
            return own
        a2 = guide[layer].to(own)
        if strength != 1:
            a2 = torch.lerp(own.float(), a2.float(), strength).to(own.dtype)
        chosen = mask[layer].to(h.device)
        if patch.positions != "all":
            chosen = chosen & _patched(pair.kind, part_of[layer], texts, patch, h.shape[1]).to(h.device)
        return torch.where(chosen, a2, own)

    return change


def _patched(kind: str, part: str, texts: Sequence[TokenText], patch: Patch, width: int) -> torch.Tensor:
    """bool [texts, width, 1]: which positions that a part of the model reads are patched."""
    start, stop = patch.span
    first = [1 if kind == "encoder-decoder" and part == "decoder" else len(text.prompt) for text in texts]
    rows = [[start <= position - begin < stop for position in range(width)] for begin in first]
    return torch.tensor(rows)[:, :, None]


def _kl(second: torch.Tensor, logits: torch.Tensor) -> np.ndarray:
    """float32 [tokens]: KL divergence in nats of predictions [tokens, vocabulary], M2's as log-probabilities."""
    first = logits.log_softmax(dim=-1).to(second.device)
    return (second.exp() * (second - first)).sum(dim=-1).clamp(min=0).cpu().numpy()
