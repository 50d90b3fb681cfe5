"""Attribution of the difference between two models' answers to neurons (method.md, "Attribution").

    causes = attribute(pair, prompts)            # both models' greedy answers, 24 tokens, five steps
    causes.top(fraction=0.005)

Every neuron of M1 is mixed with M2's on the same text, h = a1 + m (a2 − a1), and credited with ∂L/∂m, where L is the
log-probability of M2's answer over that of M1's. With the one step m = 0 this is attribution patching (Nanda 2023,
Syed et al. 2310.10348, Kramár et al. 2403.00745); with several it is integrated gradients over the mask (Sundararajan
et al. 1703.01365, Hanna et al. 2403.17806). Only sums are kept, so memory does not grow with the number of prompts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from explorer.engine.attributing import STEPS, Attributing, steps_of
from explorer.engine.attribution_sums import AttributionSums
from explorer.engine.contrast import CHUNK, scores_of
from explorer.engine.memory import in_batches
from explorer.engine.mixing import guide_activations, mixed_gradients
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText, inputs_of, longest_first, parts, positions_of_layers
from explorer.engine.sane import check_models_differ, not_finite
from explorer.engine.sums import Summing
from explorer.errors import ExplorerError
from explorer.models.pair import Pair
from explorer.models.prompting import encode_plain
from explorer.neurons.scores import Attributions
from explorer.progress import Progress, part_of

CPU_TOKENS = 512
"""About so many tokens are read at once on a processor: the backward pass holds some 1.5 MB for each in SmolLM2-135M,
and with more of them nothing is faster (docs/speed.md)."""


@dataclass(frozen=True)
class Answered(TokenText):
    """A text whose answer counts with a sign: +1 for what is to be likelier, −1 for what is to be less so."""

    sign: float = 1.0


def attribute(
    pair: Pair,
    prompts: Sequence[str],
    max_new_tokens: int = 24,
    steps: int | Sequence[float] = STEPS,
    *,
    objective: str = "",
    target: str = "",
    first_tokens: int = 0,
    exclude_layers: Sequence[int] = (),
    batch_size: int = 16,
    progress: Progress | None = None,
) -> Attributions:
    """What each neuron's patch from M2 into M1 does to the answers to these prompts, by its gradient.

    A_i = Σ over prompts of the mean over the steps of ∂L/∂m_i, in nats (method.md, "Attribution"), summed over all
    positions, those of the prompt too. With more steps Σ A_i approaches L(1) − L(0).

    Args:
        pair: the models; `pair.reversed()` attributes what breaks M2.
        prompts: what a person would type.
        max_new_tokens: the answers' length limit.
        steps: their number or a list, see `attributing.steps_of`.
        objective: one of `attributing.OBJECTIVES`; "both", or "target" where a target is given, when left out.
        target: the answer whose log-probability is attributed ("I can't help with that").
        first_tokens: only so many tokens at the beginning of each answer count; 0 for all.
        exclude_layers: layers left out of the ranking; negative ones count from the end.
        batch_size: texts read at once; fewer on a processor, see `CPU_TOKENS`.
        progress: progress callback, fraction in [0, 1].

    Raises:
        ExplorerError: a prompt or an option is not usable, there are no prompts, the models write no answers or are the
            same, or their gradients are NaN or infinite.
    """
    objective = objective or ("target" if target else "both")
    check_models_differ(pair)
    how = Attributing(max_new_tokens, steps_of(steps), objective, target, first_tokens)
    sums = attribution_sums(pair, prompts, how, batch_size=batch_size, progress=progress)
    meta: dict[str, Any] = {"prompts": len(prompts)} | pair.layout
    return attributions_of(sums, how, pair.spec.name, meta, exclude_layers)


def attributions_of(
    sums: AttributionSums, how: Attributing, name: str, meta: dict[str, Any], exclude_layers: Sequence[int] = ()
) -> Attributions:
    """The attributions of summed gradients.

    Args:
        sums: over all prompts.
        how: the settings that they were summed with.
        name: of the pair.
        meta: what the sums are of.
        exclude_layers: layers left out of the ranking; negative ones count from the end.

    Raises:
        ExplorerError: a layer does not exist, or its gradients are NaN or infinite.
    """
    bad = ~np.isfinite(sums.by_step).all(axis=(0, 2))
    if bad.any():
        raise ExplorerError(not_finite("M1", int(bad.argmax()), ""))
    of = {"both": "M2's answers over M1's", "m2": "M2's answers", "target": "a target text"}[how.objective]
    seen = scores_of(sums.activations, f"{name}: attribution to {of}", meta | how.to_meta(), exclude_layers)
    read = bool(seen.count)
    nothing = np.full_like(seen.scores, np.nan)
    return Attributions(
        scores=sums.by_step.mean(axis=0).astype(np.float32),
        count=seen.count,
        mean1=seen.mean1 if read else nothing,
        mean2=seen.mean2 if read else nothing,
        std1=seen.std1 if read else nothing,
        std2=seen.std2 if read else nothing,
        excluded_layers=seen.excluded_layers,
        label=seen.label,
        meta=seen.meta | {"log_ratio": sums.log_ratio.tolist(), "alike": sums.alike},
        by_step=sums.by_step.astype(np.float32),
    )


def attribution_sums(
    pair: Pair,
    prompts: Sequence[str],
    how: Attributing,
    *,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> AttributionSums:
    """What `attribute` sums, for prompts that are shared out: add the parts with `AttributionSums.total`.

    Raises:
        ExplorerError: a prompt is not usable, there are no prompts, or the models write no answers.
    """
    ids = _encode(pair, prompts, how)
    sums = AttributionSums.zeros(len(how.steps), pair.n_layers, pair.n_neurons)
    for start in range(0, len(prompts), CHUNK):
        asked = slice(start, start + CHUNK)
        tell = part_of(progress, start / len(prompts), len(prompts[asked]) / len(prompts))
        texts = _answers(pair, prompts[asked], ids[asked], how, part_of(tell, 0.0, 0.2))
        sums.alike += _alike(ids[asked], texts, how)
        _add_all(pair, texts, how, sums, batch_size, part_of(tell, 0.2, 0.8))
        tell(1.0)
    return sums


@dataclass(frozen=True)
class Batch:
    """Texts that are read at once, a step of `attribution_sums` that can be kept.

    Attributes:
        texts: longest first.
        alike: prompts beside them that both models answer alike, and which so have no texts.
    """

    texts: tuple[Answered, ...]
    alike: int = 0

    def to_row(self) -> dict[str, Any]:
        """The batch as plain JSON values."""
        texts = [[list(text.prompt), list(text.answer), text.sign] for text in self.texts]
        return {"alike": self.alike, "texts": texts}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Batch":
        """The batch of `to_row`."""
        return cls(tuple(Answered(*text) for text in row["texts"]), row["alike"])


def attribution_batches(pair: Pair, prompts: Sequence[str], how: Attributing, *, batch_size: int = 16) -> list[Batch]:
    """The first part of the work of `attribution_sums` for at most `contrast.CHUNK` prompts: the answers, in the
    batches that their texts are read in; at least one batch. The sums of the batches (`batch_sums`), added in their
    order with `AttributionSums.total`, are those of `attribution_sums` to the bit.

    Raises:
        ExplorerError: as `attribution_sums`.
    """
    ids = _encode(pair, prompts, how)
    texts = _answers(pair, prompts, ids, how)
    ways = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)]
    first, *others = [part for batch in ways for part in _read_at_once(pair, batch)] or [()]
    return [Batch(tuple(first), _alike(ids, texts, how)), *(Batch(tuple(part)) for part in others)]


def batch_sums(pair: Pair, batch: Batch, how: Attributing) -> AttributionSums:
    """The sums of one batch of `attribution_batches`."""
    sums = AttributionSums.zeros(len(how.steps), pair.n_layers, pair.n_neurons)
    sums.alike = batch.alike
    _add_all(pair, batch.texts, how, sums, max(1, len(batch.texts)))
    return sums


def _encode(pair: Pair, prompts: Sequence[str], how: Attributing) -> list[list[int]]:
    """Token ids of the prompts; one that is not usable shows before the work begins."""
    if not prompts:
        raise ExplorerError("There are no prompts to attribute on; give at least one.")
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no answers; rank its neurons by contrast.")
    room = len(_target(pair, how)) or how.answer_tokens
    return [pair.encode(prompt, room) for prompt in prompts]


def _target(pair: Pair, how: Attributing) -> list[int]:
    """Token ids of the text whose log-probability is attributed; none where the models' answers are."""
    return encode_plain(pair.tokenizer, how.target)[: how.first_tokens or None] if how.target else []


def _answers(
    pair: Pair, prompts: Sequence[str], ids: Sequence[list[int]], how: Attributing, progress: Progress | None = None
) -> list[Answered]:
    """The texts whose answers count, longest first: the target's, or M2's, and M1's where those do too; none where
    both answer alike."""
    target = _target(pair, how)
    if target:
        return longest_first([Answered(prompt, target) for prompt in ids])
    both = how.objective == "both"
    out = sweep(pair, prompts, Columns(unpatched=both), Decoding(how.answer_tokens), progress=progress)
    texts = []
    for number, (prompt, second) in enumerate(zip(ids, out.aligned, strict=True)):
        if not both:
            texts.append(Answered(prompt, second.token_ids))
        elif out.unpatched[number].token_ids != second.token_ids:
            texts.append(Answered(prompt, second.token_ids))
            texts.append(Answered(prompt, out.unpatched[number].token_ids, sign=-1.0))
    return longest_first(texts)


def _alike(prompts: Sequence[list[int]], texts: Sequence[Answered], how: Attributing) -> int:
    """How many of the prompts have no texts, since both models answer them alike."""
    return len(prompts) - len(texts) // (2 if how.objective == "both" else 1)


def _read_at_once(pair: Pair, batch: Sequence[Answered]) -> Iterable[Sequence[Answered]]:
    """A batch as the device reads it; what this gives is read as it is."""
    return parts(batch, CPU_TOKENS) if pair.backbone1.device.type == "cpu" else [batch]


def _add_all(
    pair: Pair,
    texts: Sequence[Answered],
    how: Attributing,
    sums: AttributionSums,
    batch_size: int,
    progress: Progress | None = None,
) -> None:
    """Add the gradients of all texts."""

    def add(batch: Sequence[Answered]) -> None:
        for part in _read_at_once(pair, batch):
            _add(pair, part, how.steps, sums)

    in_batches(texts, batch_size, add, progress)


@torch.inference_mode(False)  # a caller may be in that mode, where nothing has a gradient
def _add(pair: Pair, batch: Sequence[Answered], steps: Sequence[float], sums: AttributionSums) -> None:
    """Add the gradients of a batch at every step."""
    # The last token of an answer predicts nothing that counts.
    inputs = inputs_of(pair.backbone1, [TokenText(text.prompt, text.answer[:-1]) for text in batch])
    picked = positions_of_layers(pair, inputs, batch, "paper")
    tokens = torch.tensor([token for text in batch for token in text.answer])
    signs = torch.tensor([text.sign for text in batch for _ in text.answer])

    def see(layer: int, a1: torch.Tensor, a2: torch.Tensor) -> None:
        index = picked[layer].to(a1.device)
        summing.add(layer, a1.flatten(0, 1)[index], a2.flatten(0, 1)[index])

    found: list[tuple[float, np.ndarray]] = []
    with pair.lock, Summing(sums.activations) as summing:
        guide = guide_activations(pair, inputs)
        for step in steps:
            log_ratio, gradients = mixed_gradients(
                pair, inputs, guide, step, picked[-1], tokens, signs, see if step == 0 else None
            )
            # In one piece: a GPU waits for every copy.
            together = torch.stack([gradient.to(gradients[-1].device) for gradient in gradients])
            found.append((log_ratio, together.double().cpu().numpy()))
    for number, (log_ratio, by_neuron) in enumerate(found):  # only now, should memory have run out on the way
        sums.log_ratio[number] += log_ratio
        sums.by_step[number] += by_neuron
