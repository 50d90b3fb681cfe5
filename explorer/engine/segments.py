"""What neurons do over the segments of a text: the template, the instruction, the last prompt token, the answer.

ends = template_ends(pair)
sums = segment_sums(pair, prompts, ns, max_new_tokens=24)     # SegmentSums over prompts and M2's answers to them
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from explorer.engine.backends.choosing import read_texts
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText, inputs_of
from explorer.engine.sane import not_finite
from explorer.errors import ExplorerError
from explorer.models.pair import Pair, scale_in_place
from explorer.neurons.segments import SEGMENTS
from explorer.neurons.sets import NeuronSet

_BEFORE, _INSTRUCTION, _AFTER, _LAST, _FIRST, _LATER = range(len(SEGMENTS))

_UNLIKE = ("a", "7 Zs?", "It rains.")
"""Prompts with nothing in common: what their encodings share is the template."""


@dataclass(frozen=True)
class SegmentSums:
    """Sums of k neurons' activations over the positions of each segment of SEGMENTS, in activation units.

    Attributes:
        count: float64 [segments, k], positions; a neuron of an encoder has none in the answer.
        m1, m2: float64 [segments, k], Σ of M1's and M2's activations.
        square1, square2: float64 [segments, k], Σ of their squares.
        moved: float64 [segments, k], Σ |M2's − M1's|.
        prompts: float64 [prompts, k], the mean |M2's − M1's| over a prompt's positions behind the template's beginning.
    """

    count: np.ndarray
    m1: np.ndarray
    m2: np.ndarray
    square1: np.ndarray
    square2: np.ndarray
    moved: np.ndarray
    prompts: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def template_ends(pair: Pair) -> tuple[int, int]:
    """How many tokens the chat template puts before and behind what a person types."""
    read = [pair.encode(prompt) for prompt in _UNLIKE]
    shortest = min(map(len, read))
    before = next((i for i in range(shortest) if len({ids[i] for ids in read}) > 1), shortest)
    behind = next((i for i in range(shortest) if len({ids[-1 - i] for ids in read}) > 1), shortest)
    return before, min(behind, shortest - before)


def segment_sums(
    pair: Pair, prompts: Sequence[str], ns: NeuronSet, max_new_tokens: int, batch_size: int = 16
) -> SegmentSums:
    """What a set's neurons do in both models while they read prompts and M2's greedy answers to them.

    The last token of an answer is not read: it predicts nothing.

    Args:
        pair: the models.
        prompts: what a person would type.
        ns: the neurons, k of them.
        max_new_tokens: length limit of the answers.
        batch_size: texts of a forward pass.

    Raises:
        ExplorerError: a prompt or the length is not usable, or a model's activations are not finite.
    """
    aligned = sweep(pair, prompts, Columns(unpatched=False), Decoding(max_new_tokens)).aligned
    ids = [pair.encode(prompt, max_new_tokens) for prompt in prompts]
    texts = [TokenText(i, answer.token_ids[:-1]) for i, answer in zip(ids, aligned, strict=True)]
    ends = template_ends(pair)
    sums = {f.name: np.zeros((len(SEGMENTS), len(ns))) for f in fields(SegmentSums)}
    sums["prompts"] = np.zeros((len(texts), len(ns)))
    rows = {int(layer): np.flatnonzero(ns.layers == layer) for layer in np.unique(ns.layers)}
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch_size):
        chunk = order[start : start + batch_size]
        batch = [texts[i] for i in chunk]
        first, second = (_read(pair, model, batch, ns, rows) for model in (1, 2))
        for layer, at in rows.items():
            a1, a2 = first[layer].flatten(0, 1), second[layer].flatten(0, 1)
            where = _labels(pair, layer, batch, ends, first[layer].shape[1])
            moved = (a2 - a1).abs_()
            picked = torch.from_numpy((where.reshape(-1) == np.arange(len(SEGMENTS))[:, None]).astype(np.float32))
            sums["count"][:, at] += picked.sum(dim=1).numpy()[:, None]
            of = {"m1": a1, "m2": a2, "square1": a1**2, "square2": a2**2, "moved": moved}
            for name, values in of.items():
                sums[name][:, at] += (picked @ values).numpy()
            sums["prompts"][np.ix_(np.array(chunk), at)] = (_of_prompts(where) @ moved).numpy()
    if not all(np.isfinite(array).all() for array in sums.values()):
        raise ExplorerError(not_finite("M1 or M2", None, pair.dtype))
    return SegmentSums(**sums)


def _read(
    pair: Pair, model: int, batch: list[TokenText], ns: NeuronSet, rows: dict[int, np.ndarray]
) -> dict[int, torch.Tensor]:
    """The set's activations by layer, [texts, positions, of the layer], on the CPU."""
    backbone, scale = (pair.backbone1, pair.scale1) if model == 1 else (pair.backbone2, pair.scale2)
    seen: dict[int, torch.Tensor] = {}

    def visit(layer: int, h: torch.Tensor) -> None:
        if scale is not None:
            scale_in_place(h, scale[layer])
        if layer in rows:
            wanted = torch.from_numpy(ns.neurons[rows[layer]]).to(h.device)
            seen[layer] = h[..., wanted].float().cpu()

    with torch.inference_mode(), pair.lock:
        read_texts(backbone, inputs_of(backbone, batch), visit)
    return seen


def _of_prompts(where: np.ndarray) -> torch.Tensor:
    """float32 [texts, texts × positions]: what a mean over each text's positions, without the template's beginning,
    weighs them with."""
    weights = (where > _BEFORE).astype(np.float32)
    weights /= np.maximum(1, weights.sum(axis=1, keepdims=True))
    spread = np.eye(len(where), dtype=np.float32)[:, :, None] * weights[:, None, :]
    return torch.from_numpy(spread.reshape(len(where), -1))


def _labels(pair: Pair, layer: int, batch: list[TokenText], ends: tuple[int, int], width: int) -> np.ndarray:
    """The segment of every position that a layer reads, int64 [texts, width]; −1 on padding."""
    out = np.full((len(batch), width), -1)
    in_encoder = layer in pair.parts.get("encoder", range(0))
    for row, text in zip(out, batch, strict=True):
        prompt = [] if pair.kind == "encoder-decoder" and not in_encoder else prompt_labels(len(text.prompt), ends)
        start = [] if prompt else [_LAST]  # an encoder–decoder's decoder begins with the start token
        answer = [] if in_encoder else [_FIRST] * bool(text.answer) + [_LATER] * (len(text.answer) - 1)
        labels = [*prompt, *start, *answer]
        row[: len(labels)] = labels
    return out


def prompt_labels(length: int, ends: tuple[int, int]) -> list[int]:
    """The segment of each of a prompt's positions, as an index of SEGMENTS.

    Args:
        length: of the prompt, in tokens.
        ends: of `template_ends`.
    """
    before, behind = ends
    typed = max(0, length - 1 - before - max(0, behind - 1))
    labels = [_BEFORE] * before + [_INSTRUCTION] * typed + [_AFTER] * max(0, behind - 1)
    return [*labels[: length - 1], _LAST]
