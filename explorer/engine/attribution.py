"""Attribution of the difference between two models' answers to neurons (method.md, "Attribution").

    causes = attribute(pair, prompts)            # both models' greedy answers, 24 tokens, five steps
    causes.top(fraction=0.005)

Every neuron of M1 is mixed with M2's on the same text, h = a1 + m (a2 − a1), and credited with ∂L/∂m, where L is the
log-probability of M2's answer over that of M1's. With the one step m = 0 this is attribution patching (Nanda 2023,
Syed et al. 2310.10348, Kramár et al. 2403.00745); with several it is integrated gradients over the mask (Sundararajan
et al. 1703.01365, Hanna et al. 2403.17806). Only sums are kept, so memory does not grow with the number of prompts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from explorer.engine.attributing import STEPS, Attributing, steps_of
from explorer.engine.contrast import CHUNK, scores_of
from explorer.engine.memory import in_batches
from explorer.engine.mixing import guide_activations, mixed_gradients
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText, inputs_of, longest_first, parts, positions_of_layers
from explorer.engine.sane import check_models_differ, not_finite
from explorer.engine.sums import Summing, Sums
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


@dataclass
class AttributionSums:
    """Running sums over prompts; sums of parts add up to those of the whole.

    Attributes:
        by_step: float64 [steps, n_layers, n_neurons], ∂L/∂m at each step.
        log_ratio: float64 [steps], L there, in nats.
        alike: prompts that both models answer alike: nothing is to be attributed.
        activations: of both models at the positions that predict the answers, at step 0.
    """

    by_step: np.ndarray
    log_ratio: np.ndarray
    alike: int
    activations: Sums

    @classmethod
    def zeros(cls, steps: int, n_layers: int, n_neurons: int) -> "AttributionSums":
        """Nothing summed yet."""
        nothing = np.zeros((steps, n_layers, n_neurons))
        return cls(nothing, np.zeros(steps), 0, Sums.zeros(n_layers, n_neurons))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The sums by name."""
        own = {"by_step": self.by_step, "log_ratio": self.log_ratio, "alike": np.array(self.alike)}
        return own | {f"activations_{name}": value for name, value in self.activations.to_arrays().items()}

    @classmethod
    def total(cls, parts: Iterable[dict[str, np.ndarray]]) -> "AttributionSums":
        """The sum of parts that `to_arrays` gave, added in their order: the same parts, the same bits.

        Raises:
            ExplorerError: there are none.
        """
        whole: AttributionSums | None = None
        for part in parts:
            if whole is None:
                whole = cls.zeros(*part["by_step"].shape)
            whole.by_step += part["by_step"]
            whole.log_ratio += part["log_ratio"]
            whole.alike += int(part["alike"])
            for name, value in whole.activations.to_arrays().items():
                value += part[f"activations_{name}"]
        if whole is None:
            raise ExplorerError("There are no prompts to attribute on; give at least one.")
        return whole


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
    if not prompts:
        raise ExplorerError("There are no prompts to attribute on; give at least one.")
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no answers; rank its neurons by contrast.")
    target = encode_plain(pair.tokenizer, how.target)[: how.first_tokens or None] if how.target else []
    ids = [pair.encode(prompt, len(target) or how.answer_tokens) for prompt in prompts]
    sums = AttributionSums.zeros(len(how.steps), pair.n_layers, pair.n_neurons)
    for start in range(0, len(prompts), CHUNK):
        asked = slice(start, start + CHUNK)
        tell = part_of(progress, start / len(prompts), len(prompts[asked]) / len(prompts))
        if target:
            texts = [Answered(prompt, target) for prompt in ids[asked]]
        else:
            texts = _answers(pair, prompts[asked], ids[asked], how, part_of(tell, 0.0, 0.2))
            sums.alike += len(prompts[asked]) - len(texts) // (1 if how.objective == "m2" else 2)

        def add(batch: Sequence[Answered]) -> None:
            for part in parts(batch, CPU_TOKENS) if pair.backbone1.device.type == "cpu" else [batch]:
                _add(pair, part, how.steps, sums)

        in_batches(longest_first(texts), batch_size, add, part_of(tell, 0.2, 0.8))
        tell(1.0)
    return sums


def _answers(
    pair: Pair, prompts: Sequence[str], ids: Sequence[list[int]], how: Attributing, progress: Progress
) -> list[Answered]:
    """The texts whose answers count: M2's, and M1's where those do too; none where both answer alike."""
    both = how.objective == "both"
    out = sweep(pair, prompts, Columns(unpatched=both), Decoding(how.answer_tokens), progress=progress)
    texts = []
    for number, (prompt, second) in enumerate(zip(ids, out.aligned, strict=True)):
        if not both:
            texts.append(Answered(prompt, second.token_ids))
        elif out.unpatched[number].token_ids != second.token_ids:
            texts.append(Answered(prompt, second.token_ids))
            texts.append(Answered(prompt, out.unpatched[number].token_ids, sign=-1.0))
    return texts


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
