"""Directions projected out of the residual stream while M1 answers: against full forwards without a cache."""

import numpy as np
import pytest
import torch

from explorer.engine.patching import generate
from explorer.engine.projecting import Projected, answers_projected, margins_without, project_out, unit
from explorer.engine.reading import TokenText, inputs_of
from explorer.engine.reference import naive_activations
from explorer.engine.residuals import residual_hooks
from explorer.engine.token_margin import TokenMargin
from explorer.errors import ExplorerError
from explorer.models.hooks import neuron_hooks
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

NEW = 8
PROMPTS = tiny.PROMPTS[:3]
KINDS = ["llama", "gemma2", "gpt2", "gpt_neox", "falcon", "opt", "olmo2", "mixtral", "t5"]
HIDDEN = 16


def _direction(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=HIDDEN)


def _naive_logits(pair, ids, answer, ns, direction) -> torch.Tensor:
    """Next-token logits by a full forward: M2's activations at the set, then the residual stream projected."""
    source = naive_activations(pair.m2, ids, answer)
    mask, d = torch.from_numpy(ns.mask()), torch.from_numpy(direction / np.linalg.norm(direction)).float()

    def patch(layer, h):
        return torch.where(mask[layer], source[layer], h)

    def project(_layer, residual):
        return residual - (residual @ d)[..., None] * d

    with torch.inference_mode(), neuron_hooks(pair.m1, patch), residual_hooks(pair.m1, project):
        return pair.m1(**inputs_of(pair.m1, [TokenText(ids, answer)]), use_cache=False).logits[0, -1]


def _naive(pair, ids, ns, direction) -> tuple[int, ...]:
    answer: list[int] = []
    while len(answer) < NEW:
        answer.append(int(_naive_logits(pair, ids, answer, ns, direction).float().argmax()))
        if answer[-1] in pair.stop_ids:
            break
    return tuple(answer)


@pytest.mark.parametrize("kind", [*KINDS, "llama twice", "gpt2 twice"])
def test_answers_equal_the_naive_form(kind):
    pair = tiny.any_pair(kind.removesuffix(" twice"), shared=not kind.endswith("twice"))
    sets = [NeuronSet.random(pair, 20, seed=1), NeuronSet.random(pair, 30, seed=2), NeuronSet.empty(pair)]
    columns = [Projected(ns, _direction(seed)) for ns, seed in zip((*sets, sets[0]), (1, 2, 3, 4), strict=True)]
    got = answers_projected(pair, PROMPTS, columns, NEW, max_rows=10)
    for column, answers in zip(columns, got, strict=True):
        for prompt, answer in zip(PROMPTS, answers, strict=True):
            assert answer.token_ids == _naive(pair, pair.encode(prompt), column.neurons, column.direction)
    plain = generate(pair, PROMPTS, sets[0], NEW)
    assert [a.token_ids for a in got[0]] != [a.token_ids for a in plain.patched], "the projection does something"


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2", "t5", "llama twice"])
def test_margins_equal_the_naive_form(kind):
    pair = tiny.any_pair(kind.removesuffix(" twice"), shared=not kind.endswith("twice")).reversed()
    margin = TokenMargin(np.array([5, 9, 40]), np.array([1.0, -0.5, -0.5]))
    ids = [pair.encode(prompt) for prompt in PROMPTS]
    directions = np.stack([_direction(1), _direction(2)])
    got = margins_without(pair, ids, directions, margin, batch_size=2)
    none = NeuronSet.empty(pair)
    for p, prompt in enumerate(ids):
        with torch.inference_mode():
            plain = pair.m1(**inputs_of(pair.m1, [TokenText(prompt)]), use_cache=False).logits[0, -1]
        logits = [plain, *(_naive_logits(pair, prompt, [], none, direction) for direction in directions)]
        size = max(float(one.abs().max()) for one in logits)
        assert_close(got.margin[:, p], [float(margin.of(one)) for one in logits], layers=tiny.LAYERS, scale=size)
        first = plain.log_softmax(dim=-1)
        kl = [float((first.exp() * (first - one.log_softmax(dim=-1))).sum()) for one in logits]
        assert_close(got.kl[:, p], kl, layers=tiny.LAYERS, scale=size)
    assert (got.kl[1:] > 0).all()


def test_what_is_projected_out_is_gone():
    residual = torch.randn(2, 3, HIDDEN)
    directions = torch.from_numpy(np.stack([unit(_direction(s), HIDDEN) for s in (1, 2)]))
    left = project_out(residual, directions)
    assert_close(torch.einsum("rph,rh->rp", left, directions), np.zeros((2, 3)), scale=float(residual.abs().max()))
    assert_close(project_out(left, directions), left)


@pytest.mark.parametrize("wrong", [np.zeros(HIDDEN), np.ones(3), np.full(HIDDEN, np.nan)])
def test_a_direction_without_length_is_refused(wrong):
    pair = tiny.shared_pair()
    with pytest.raises(ExplorerError, match="A direction must be 16 numbers"):
        answers_projected(pair, PROMPTS, [Projected(NeuronSet.empty(pair), wrong)], NEW)


def test_a_classifier_has_no_answers():
    pair = tiny.any_pair("bert")
    with pytest.raises(ExplorerError, match="classifier"):
        answers_projected(pair, PROMPTS, [], NEW)
