"""Generation-time activation contrasting (paper section 3.1): change scores of all neurons.

    changes = contrast(pair, prompts, max_new_tokens=64)

One model answers each prompt; both read the same text; the difference of their activations is
summed at the positions that predict the answer's tokens. Only sums are kept, so memory does not
grow with the number of tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch

from explorer.engine.backends.choosing import read_texts
from explorer.engine.memory import in_batches
from explorer.engine.options import Columns, Comparison, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import Inputs, TokenText, inputs_of, longest_first, parts, positions_of_layers
from explorer.engine.sane import check_finite_sums, check_models_differ, check_sums
from explorer.engine.sums import Summing, Sums
from explorer.errors import ExplorerError
from explorer.models.pair import Pair, scale_in_place
from explorer.neurons.ranking import normalise_layers
from explorer.neurons.scores import ChangeScores
from explorer.progress import Progress, part_of

CHUNK = 128
"""Prompts that are answered and read before the next ones are: what is held does not grow with their number."""

CPU_TOKENS = 768
"""About so many tokens each model reads at once on a processor: of more, what one kernel writes has left the caches
before the next one reads it; of fewer, oneDNN's products are slower (docs/speed.md)."""


def contrast(
    pair: Pair,
    prompts: Sequence[str],
    max_new_tokens: int = 64,
    *,
    positions: str = "paper",
    answers: str = "m1",
    exclude_layers: Sequence[int] = (),
    batch_size: int = 16,
    progress: Progress | None = None,
) -> ChangeScores:
    """Change scores of every neuron between M1 and M2 on greedy answers to these prompts.

    S = sqrt( Σ over all answers and positions (a1 − a2)² / number of positions ), tokens pooled over
    all answers (paper, equation 2).

    Args:
        pair: the models.
        prompts: what a person would type.
        max_new_tokens: the answers' length limit (paper: 256).
        positions: one of `options.COMPARED`.
        answers: one of `options.ANSWERS`.
        exclude_layers: layers left out of the ranking; negative ones count from the end.
        batch_size: texts read at once by each model.
        progress: progress callback, fraction in [0, 1].

    Raises:
        ExplorerError: a prompt or an option is not usable, there are no prompts, the two models do the same on them,
            or activations are NaN or infinite.
    """
    check_models_differ(pair)
    how = Comparison(max_new_tokens, positions, answers)
    sums = contrast_sums(pair, prompts, how, batch_size=batch_size, progress=progress)
    check_sums(sums, pair.dtype)
    label = f"{pair.spec.name}: {positions} positions of {answers.upper()}'s answers"
    meta = {
        "positions": positions,
        "answers": answers,
        "prompts": len(prompts),
        "max_new_tokens": max_new_tokens,
    }
    return scores_of(sums, label, meta | pair.layout, exclude_layers)


def contrast_sums(
    pair: Pair,
    prompts: Sequence[str],
    how: Comparison,
    *,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> Sums:
    """What `contrast` sums, for prompts that are shared out: add the parts with `Sums.total`.

    Raises:
        ExplorerError: a prompt is not usable, there are no prompts, or the models write no answers.
    """
    if not prompts:
        raise ExplorerError("There are no prompts to contrast on; give at least one.")
    if how.needs_answers and pair.kind == "encoder":
        raise ExplorerError(
            f"This model is a classifier, which writes no answers; contrast it with positions prompt or last_prompt, "
            f"not {how.positions}."
        )

    for prompt in prompts:
        pair.encode(prompt, how.max_new_tokens)  # one that is not usable shows before the work begins
    sums = Sums.zeros(pair.n_layers, pair.n_neurons)
    for start in range(0, len(prompts), CHUNK):
        chunk = prompts[start : start + CHUNK]
        tell = part_of(progress, start / len(prompts), len(chunk) / len(prompts))
        written: list[tuple[int, ...]] = [()] * len(chunk)
        if how.needs_answers:
            m1 = how.answers == "m1"
            wanted = Columns(unpatched=m1, aligned=not m1)
            out = sweep(pair, chunk, wanted, Decoding(how.max_new_tokens), progress=part_of(tell, 0.0, 0.6))
            written = [a.token_ids for a in (out.unpatched if m1 else out.aligned)]
            tell = part_of(tell, 0.6, 0.4)
        texts = [
            TokenText(pair.encode(p, how.max_new_tokens), answer) for p, answer in zip(chunk, written, strict=True)
        ]

        def add(batch: Sequence[TokenText]) -> None:
            with Summing(sums) as summing:
                _accumulate(pair, batch, how.positions, summing)

        in_batches(longest_first(texts), batch_size, add, tell)
        check_finite_sums(sums, pair.dtype)
    return sums


def scores_of(sums: Sums, label: str, meta: dict[str, object], exclude_layers: Sequence[int] = ()) -> ChangeScores:
    """The change scores of summed activations.

    Args:
        sums: over all answers and positions.
        label, meta: what they are of; where an encoder was read too, meta also gets its "encoder_positions".
        exclude_layers: layers left out of the ranking; negative ones count from the end.

    Raises:
        ExplorerError: a layer does not exist.
    """
    excluded = normalise_layers(tuple(exclude_layers), len(sums.count))
    n = np.maximum(1, sums.count)
    count, encoder = int(sums.count[-1, 0]), int(sums.count[0, 0])
    mean1, mean2 = sums.first / n, sums.second / n
    return ChangeScores(
        scores=np.sqrt(sums.squared_difference / n).astype(np.float32),
        count=count,
        mean1=mean1.astype(np.float32),
        mean2=mean2.astype(np.float32),
        std1=np.sqrt(np.maximum(sums.first_squared / n - mean1**2, 0)).astype(np.float32),
        std2=np.sqrt(np.maximum(sums.second_squared / n - mean2**2, 0)).astype(np.float32),
        excluded_layers=excluded,
        label=label,
        meta=meta if encoder == count else {**meta, "encoder_positions": encoder},
    )


def _accumulate(pair: Pair, batch: Sequence[TokenText], positions: str, sums: Summing) -> None:
    """Read a batch with both models and add the compared positions to the sums."""
    for part in parts(batch, CPU_TOKENS) if pair.backbone1.device.type == "cpu" else [batch]:
        inputs = inputs_of(pair.backbone1, part)
        picked = positions_of_layers(pair, inputs, part, positions)
        (_read_shared if pair.shared else _read_lockstep)(pair, inputs, picked, sums)


def _read_shared(pair: Pair, inputs: Inputs, picked: list[torch.Tensor], sums: Summing) -> None:
    """One pass: M1's rows first, then M2's."""
    n = len(inputs["input_ids"])

    def visit(layer: int, h: torch.Tensor) -> None:
        if pair.scale1 is not None:
            scale_in_place(h[:n], pair.scale1[layer])
        if pair.scale2 is not None:
            scale_in_place(h[n:], pair.scale2[layer])
        index = picked[layer].to(h.device)
        sums.add(layer, h[:n].flatten(0, 1)[index], h[n:].flatten(0, 1)[index])

    twice = {name: torch.cat([value, value]) for name, value in inputs.items()}
    with torch.inference_mode(), pair.lock:
        read_texts(pair.backbone1, twice, visit)


def _read_lockstep(pair: Pair, inputs: Inputs, picked: list[torch.Tensor], sums: Summing) -> None:
    """Two passes: M1's compared activations are kept for the time of M2's pass."""
    first: dict[int, torch.Tensor] = {}

    def keep(layer: int, h: torch.Tensor) -> None:
        if pair.scale1 is not None:
            scale_in_place(h, pair.scale1[layer])
        first[layer] = h.flatten(0, 1)[picked[layer].to(h.device)]

    def compare(layer: int, h: torch.Tensor) -> None:
        if pair.scale2 is not None:
            scale_in_place(h, pair.scale2[layer])
        sums.add(layer, first.pop(layer), h.flatten(0, 1)[picked[layer].to(h.device)])

    with torch.inference_mode(), pair.lock:
        for model, visit in ((pair.backbone1, keep), (pair.backbone2, compare)):
            read_texts(model, {name: value.to(model.device) for name, value in inputs.items()}, visit)
