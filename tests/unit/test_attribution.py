"""Attribution: gradients against finite differences of the naive form in every family, completeness, batching."""

import numpy as np
import pytest
import torch

import explorer
from explorer.errors import ExplorerError
from explorer.neurons.attribution import (
    Attributing,
    AttributionSums,
    attribute,
    attribution_sums,
    attributions_of,
    steps_of,
)
from explorer.neurons.contrast import contrast
from explorer.neurons.patching import sweep
from explorer.neurons.reference import naive_mixed_log_prob
from explorer.neurons.scores import Attributions, ranking_from_parts
from tests import tiny

NEW = 6
PROMPTS = tiny.PROMPTS[:3]
LOCKSTEP = ("gpt2", "opt", "qwen2_moe", "t5")
WRITERS = [kind for kind in tiny.FAMILIES if kind != "bert"]


@pytest.fixture(scope="module", params=[*WRITERS, *(f"{kind} twice" for kind in LOCKSTEP), "llama twice"])
def pair(request):
    """In float64, so that finite differences over a short way tell; gated mixtures change their experts on a long one."""
    kind, _, twice = request.param.partition(" ")
    pair = tiny.any_pair(kind, shared=not twice)
    pair.backbone1.double()
    pair.backbone2.double()
    return pair


def signed_answers(pair, objective: str, prompts=PROMPTS, new: int = NEW) -> list[tuple[list[int], tuple, float]]:
    """What L is of, spelt out: token ids of prompts and answers, each with its sign."""
    out = sweep(pair, prompts, [], new)
    ids = [pair.encode(prompt) for prompt in prompts]
    second = [(prompt, answer.token_ids, 1.0) for prompt, answer in zip(ids, out.aligned, strict=True)]
    first = [(prompt, answer.token_ids, -1.0) for prompt, answer in zip(ids, out.unpatched, strict=True)]
    return second + first if objective == "both" else second


def log_ratio(pair, answers, mask: torch.Tensor) -> float:
    """L by the naive form."""
    return sum(sign * naive_mixed_log_prob(pair, ids, answer, mask) for ids, answer, sign in answers)


@pytest.mark.parametrize("step", [0.0, 0.6])
def test_gradients_equal_finite_differences_of_the_naive_form(pair, step):
    objective = "m2" if pair.spec.name.split()[1].startswith("gemma") else "both"  # tiny Gemmas all say the same
    got = attribute(pair, PROMPTS, NEW, (step,), objective=objective, batch_size=2)
    answers = signed_answers(pair, objective)
    at = torch.full(got.scores.shape, step, dtype=torch.float64)
    assert got.log_ratio[0] == pytest.approx(log_ratio(pair, answers, at), rel=1e-3, abs=1e-3)
    generator = torch.Generator().manual_seed(1)
    largest = np.argsort(-np.abs(got.scores).reshape(-1))[:2]
    directions = [torch.randn(at.shape, generator=generator) for _ in range(2)]
    directions += [torch.zeros(at.numel()).scatter(0, torch.tensor([i]), 1.0).view(at.shape) for i in largest]
    for direction in directions:
        found = float((torch.from_numpy(got.scores) * direction).sum())
        scale = float(np.linalg.norm(got.scores)) * float(direction.norm())
        assert any(
            min(differences(pair, answers, at, direction, change / scale, found)) <= 2e-3 * scale
            for change in (0.1, 1e-2, 1e-3, 1.0)  # over a long way L curves, over a short one it is rounded
        )


def differences(pair, answers, at: torch.Tensor, direction: torch.Tensor, h: float, slope: float) -> list[float]:
    """How far finite differences lie from a slope: ahead, behind and over both; a mixture of experts may route
    otherwise on one side, where L jumps."""
    behind, here, ahead = (log_ratio(pair, answers, at + s * h * direction) for s in (-1, 0, 1))
    return [abs(slope - d) for d in ((ahead - here) / h, (here - behind) / h, (ahead - behind) / (2 * h))]


@pytest.mark.parametrize("kind", ["llama", "llama twice", "gpt2", "qwen2_moe", "t5"])
def test_the_scores_sum_approaches_what_all_patches_together_do(kind):
    """Completeness of integrated gradients: Σ A = L(1) − L(0)."""
    kind, _, twice = kind.partition(" ")
    pair = tiny.any_pair(kind, shared=not twice, spread=0.2)
    ends = attribute(pair, PROMPTS, NEW, (0.0, 1.0))
    change = ends.log_ratio[1] - ends.log_ratio[0]
    few, many = (attribute(pair, PROMPTS, NEW, [(i + 0.5) / n for i in range(n)]).scores.sum() for n in (2, 32))
    assert abs(many - change) <= 0.02 * abs(change)
    assert abs(many - change) <= abs(few - change) + 1e-3 * abs(change)
    answers = signed_answers(pair, "both")
    assert ends.log_ratio[1] == pytest.approx(log_ratio(pair, answers, torch.ones(ends.scores.shape)), rel=1e-3)


def test_with_all_neurons_patched_a_shared_pair_is_m2():
    pair = tiny.shared_pair()
    ends = attribute(pair, PROMPTS, NEW, (1.0,))
    plain = attribute(pair.reversed(), PROMPTS, NEW, (0.0,))
    assert ends.log_ratio[0] == pytest.approx(-plain.log_ratio[0], rel=1e-4)
