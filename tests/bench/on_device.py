"""Every computation on a pair, on a device against the processor: which of them differ, or fail, and how."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from explorer.engine.attribution import attribute
from explorer.engine.contrast import contrast
from explorer.engine.divergence import answer_divergences
from explorer.engine.fixing import answers_with_fixed
from explorer.engine.given_text import last_prompt_activations
from explorer.engine.head_patterns import head_patterns
from explorer.engine.heads import head_losses
from explorer.engine.inspect import activations_over_words, vocabulary_projection
from explorer.engine.joining import Asked, Joint
from explorer.engine.keeping import KeptColumn
from explorer.engine.keeping_answers import answers_with_kept
from explorer.engine.logit_attribution import attribute_margin
from explorer.engine.logit_lens import lens_margins
from explorer.engine.options import Columns, Decoding, Sampling
from explorer.engine.patching import generate
from explorer.engine.paths import path_margins
from explorer.engine.projecting import Projected, answers_projected, margins_without
from explorer.engine.segments import segment_sums
from explorer.engine.token_margin import TokenMargin
from explorer.engine.trace import trace
from explorer.models.loader import reads_one_kv_head_on_gpu
from explorer.models.pair import Pair
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from tests import tiny

PROMPTS = tiny.PROMPTS[:4]
MARGIN = TokenMargin(np.array([5, 9, 40]), np.array([1.0, -0.5, -0.5]))
NEW = 10


def _sets(pair: Pair) -> list[NeuronSet]:
    return [NeuronSet.random(pair, k, seed=k) for k in (6, 30)]


def _ids(pair: Pair) -> list[list[int]]:
    return [pair.encode(prompt) for prompt in PROMPTS]


def _tokens(answers: Any) -> list[tuple[int, ...]]:
    return [answer.token_ids for answer in answers]


def _patched(pair: Pair, **how: Any) -> Any:
    return _tokens(generate(pair, PROMPTS, _sets(pair)[1], NEW, **how).patched)


def _direction(pair: Pair) -> np.ndarray:
    return np.random.default_rng(0).normal(size=pair.backbone1.config.hidden_size)


def _joined(pair: Pair) -> list[tuple[int, ...]]:
    """Answers to requests that join one batch two steps apart, greedy and sampled by turns."""
    joint, texts, number_of = Joint(pair), {}, {}
    waiting = list(range(len(PROMPTS)))
    while waiting or joint.active:
        if waiting and joint.takes_another:
            which = waiting.pop(0)
            how = Decoding(NEW, sampling=Sampling(0.9, seed=which) if which % 2 else None)
            number, tokens = joint.join(Asked(_ids(pair)[which], Columns(_sets(pair)), how))
            number_of[number] = which
            texts.update({(which, token.column): (token.token,) for token in tokens})
        for _ in range(2):
            for number, tokens in joint.step().items():
                for token in tokens:
                    texts[number_of[number], token.column] += (token.token,)
    return [texts[key] for key in sorted(texts)]


COMPUTATIONS: dict[str, Callable[[Pair], Any]] = {
    "contrast": lambda pair: contrast(pair, PROMPTS, NEW).scores,
    "contrast, prompts": lambda pair: contrast(pair, PROMPTS, positions="prompt").scores,
    "attribution": lambda pair: attribute(pair, PROMPTS, NEW, 2).scores,
    "attribution, target": lambda pair: attribute(pair, PROMPTS, target="I c", steps=2).scores,
    "patched": _patched,
    "patched at strength 0.5": lambda pair: _patched(pair, strength=0.5),
    "patched at the prompt": lambda pair: _patched(pair, positions="prompt"),
    "patched at 3 tokens": lambda pair: _patched(pair, positions=3),
    "broken": lambda pair: _patched(pair.reversed()),
    "sampled": lambda pair: _patched(pair, sampling=Sampling(0.9, 0.9)),
    "joined": _joined,
    "divergence": lambda pair: answer_divergences(
        pair, _ids(pair), [[1, 2, 3]] * len(PROMPTS), [Patch(ns) for ns in _sets(pair)]
    ),
    "means held fixed": lambda pair: _tokens(
        answers_with_fixed(pair, PROMPTS, _sets(pair)[0], np.linspace(0, 1, 6, dtype=np.float32), NEW)
    ),
    "activations of prompts": lambda pair: last_prompt_activations(pair, PROMPTS, _sets(pair)[0]),
    "activations over words": lambda pair: activations_over_words(pair, PROMPTS[0], 1, 3, 6).select_dtypes("number"),
    "words of a neuron": lambda pair: vocabulary_projection(pair, 1, 3, 4).select_dtypes("number"),
    "path margins": lambda pair: path_margins(
        pair, _ids(pair), MARGIN, [KeptColumn(_sets(pair)[1], frozenset(kept)) for kept in ((), ("values",), ("mlps",))]
    ),
    "heads": lambda pair: head_losses(pair, _ids(pair), MARGIN, _sets(pair)[1]),
    "head patterns": lambda pair: list(head_patterns(pair, _ids(pair)[0], _sets(pair)[1], [(1, 0), (2, 1)]).values()),
    "answers with attention kept": lambda pair: _tokens(
        answers_with_kept(pair, PROMPTS, [KeptColumn(_sets(pair)[1], frozenset(("patterns",)))], NEW)[0]
    ),
    "logit attribution": lambda pair: attribute_margin(pair, _ids(pair), MARGIN, _sets(pair)).direct,
    "logit lens": lambda pair: lens_margins(pair, _ids(pair), MARGIN, _sets(pair)),
    "answers with a direction projected out": lambda pair: _tokens(
        answers_projected(pair, PROMPTS, [Projected(_sets(pair)[1], _direction(pair))], NEW)[0]
    ),
    "margins without a direction": lambda pair: (
        margins_without(pair, _ids(pair), _direction(pair)[None], MARGIN).margin
    ),
    "segments": lambda pair: list(vars(segment_sums(pair, PROMPTS, _sets(pair)[0], NEW)).values()),
    "trace": lambda pair: trace(pair, PROMPTS[0], [5, 6, 7], Patch(_sets(pair)[1]), MARGIN).own,
}
"""Arrays or token ids that a pair gives."""


def differences(pair: Pair, device: torch.device) -> Iterator[tuple[str, str]]:
    """What every computation on a device differs by from the processor; "" where it does not.

    Args:
        pair: on the processor, in float32.
        device: to compare with.
    """
    other = moved(pair, device)
    for name, compute in COMPUTATIONS.items():
        try:
            yield name, _difference(compute(pair), compute(other))
        except Exception as problem:  # noqa: BLE001 - every kind of failure is a finding
            yield name, f"{type(problem).__name__}: {problem}"[:300]


def moved(pair: Pair, device: torch.device) -> Pair:
    """A copy of a pair on a device, its attention computed as in models that are loaded there."""
    first = copy.deepcopy(pair.backbone1).to(device)
    second = first if pair.shared else copy.deepcopy(pair.backbone2).to(device)
    for model in (first, second):
        if reads_one_kv_head_on_gpu(model):
            model.set_attn_implementation("eager")
    factors = None if pair.scale2 is None else [f.to(device) for f in pair.scale2]
    return Pair(pair.tokenizer, first, second, None, factors, pair.spec)


def _difference(mine: Any, theirs: Any) -> str:
    """How two results differ."""
    if isinstance(mine, Sequence) and mine and isinstance(mine[0], tuple):  # token ids: ties apart, they are equal
        return "" if mine == theirs else f"{mine} and {theirs}"[:200]
    both = [_flat(one) for one in (mine, theirs)]
    if both[0].shape != both[1].shape:
        return f"shapes {both[0].shape} and {both[1].shape}"
    scale = max(1e-6, float(np.abs(both[0]).max()))
    worst = float(np.abs(both[0] - both[1]).max()) / scale
    return "" if worst < 1e-3 else f"{worst:.1e} of the greatest value"


def _flat(found: Any) -> np.ndarray:
    parts = found if isinstance(found, Sequence) else [found]
    return np.concatenate([np.nan_to_num(np.asarray(part, dtype=np.float64)).ravel() for part in parts])
