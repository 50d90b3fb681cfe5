"""The fused back end's families, windows and replayed steps, each against the naive reference and `generate`."""

from collections import Counter

import pytest
import torch

from explorer.engine import products
from explorer.engine.backends import graphed
from explorer.engine.backends.choosing import backend_of
from explorer.engine.backends.fused import FusedPass
from explorer.engine.backends.fused_weights import ACTIVATIONS
from explorer.engine.contrast import contrast
from explorer.engine.options import Columns, Decoding, Sampling
from explorer.engine.patching import generate, sweep
from explorer.engine.reference import naive_activations, naive_greedy, naive_patched
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

NEW = 14

WINDOWS = {"qwen2": {"sliding_window": 20, "use_sliding_window": True, "max_window_layers": 1}}
"""Settings by which every kind has layers of a window that the prompts are longer than."""
for _kind in ("mistral", "gemma2", "gemma3_text"):
    WINDOWS[_kind] = {"sliding_window": 20}
WINDOWS["qwen3"] = WINDOWS["qwen2"]

KINDS = {
    "qwen3": {},
    "gemma": {},
    "gemma with its own activation": {"hidden_act": "gelu_pytorch_tanh"},
    **{f"{kind} with a window": changes for kind, changes in WINDOWS.items()},
}


def pair_of(name: str, shared: bool):
    kind, changes = name.split(" with ")[0], KINDS[name]
    first = tiny.any_model(kind, **changes)
    second = first if shared else tiny.any_model(kind, seed=7, **changes)
    return tiny.pair_of_models(kind, first, second)


def check_against_naive(pair, prompts, sets, new) -> None:
    """Every answer of a sweep is the naive reference's."""
    out = sweep(pair, prompts, Columns(sets), Decoding(new))
    for number, prompt in enumerate(prompts):
        ids = pair.encode(prompt)
        assert list(out.unpatched[number].token_ids) == naive_greedy(pair, pair.m1, ids, new)
        assert list(out.aligned[number].token_ids) == naive_greedy(pair, pair.m2, ids, new)
        for ns, answers in zip(sets, out.patched, strict=True):
            assert list(answers[number].token_ids) == naive_patched(pair, ids, ns, new), prompt


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "lockstep"])
@pytest.mark.parametrize("name", KINDS)
def test_patched_answers_equal_the_naive_reference(name, shared):
    pair = pair_of(name, shared)
    assert backend_of(pair.backbone1).name == "fused"
    sets = [NeuronSet.random(pair, k, seed=k) for k in (5, 30)]
    prompts = tiny.PROMPTS[:8]
    check_against_naive(pair, prompts, sets, NEW)


@pytest.mark.parametrize("name", KINDS)
def test_change_scores_are_those_of_the_activations(name):
    pair = pair_of(name, shared=False)
    prompts = tiny.PROMPTS[:4]
    scores = contrast(pair, prompts, 6)
    squares, count = torch.zeros(pair.n_layers, pair.n_neurons), 0
    for prompt in prompts:
        ids = pair.encode(prompt)
        answer = naive_greedy(pair, pair.m1, ids, 6)
        at = slice(len(ids) - 1, len(ids) + len(answer) - 1)
        both = [naive_activations(model, [*ids, *answer]) for model in (pair.m1, pair.m2)]
        squares += torch.stack([((a - b)[at] ** 2).sum(0) for a, b in zip(*both, strict=True)])
        count += len(answer)
    assert_close(torch.from_numpy(scores.scores), (squares / count).sqrt())


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_model_too_large_for_copies_writes_the_same(kind, monkeypatch):
    monkeypatch.setattr(products, "COPIED_BYTES", 0)
    pair = tiny.lockstep_pair(kind)
    before = {name: weight.data_ptr() for name, weight in pair.backbone1.named_parameters()}
    ns = NeuronSet.random(pair, 30, seed=1)
    out = sweep(pair, tiny.PROMPTS[:4], Columns([ns]), Decoding(NEW))
    for prompt, answer in zip(tiny.PROMPTS, out.patched[0], strict=False):
        assert list(answer.token_ids) == naive_patched(pair, pair.encode(prompt), ns, NEW)
    assert {name: weight.data_ptr() for name, weight in pair.backbone1.named_parameters()} == before


class Replay:
    """Stands in for a CUDA graph: replaying it computes again from the tensors that it was recorded with."""

    def __init__(self, steps, compute):
        self._steps, self._compute, self.times = steps, compute, 0
        self.found = [part.clone() for part in compute(steps)]

    def replay(self):
        self.times += 1
        for part, new in zip(self.found, self._compute(self._steps), strict=True):
            part.copy_(new)


class TorchKernels:
    """What the kernels of a step compute, in torch; counts how often each was called."""

    def __init__(self):
        self.calls = Counter()

    def turn(self, mixed, cos, sin, heads):
        self.calls["turn"] += 1
        turned, half = mixed[:, :heads].clone(), mixed.shape[-1] // 2
        mixed[:, :heads] = turned * cos + torch.cat([turned[..., half:], turned[..., :half]], -1) * sin

    def gated(self, gate_up, gate):
        self.calls["gated"] += 1
        first, up = gate_up.chunk(2, -1)
        return ACTIVATIONS[gate](first) * up

    def added_and_normed(self, x, added, norm):
        self.calls["added_and_normed"] += 1
        return x + added, norm(x + added)


@pytest.fixture
def replayed(monkeypatch):
    """Steps are replayed on the processor, too, with kernels of their own; the list fills with what was recorded."""
    made = []
    plain = FusedPass.__init__
    kernels = TorchKernels()

    def begin(self, *args):
        plain(self, *args)
        self.replays, self.kernels = True, kernels

    def record(self, steps, compute):
        made.append(Replay(steps, compute))
        made[-1].kernels = kernels
        return graphed.Recorded(made[-1], steps, made[-1].found)

    monkeypatch.setattr(FusedPass, "__init__", begin)
    monkeypatch.setattr(graphed.StepGraphs, "_record", record)
    return made


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "lockstep"])
@pytest.mark.parametrize("kind", ["llama", "gemma2", "gemma3_text", "mistral", "qwen2", "qwen3"])
def test_replayed_steps_write_the_same_answers(kind, shared, replayed):
    pair = tiny.any_pair(kind, shared)
    sets = [NeuronSet.random(pair, k, seed=k) for k in (4, 20, 50)]
    prompts, new = tiny.PROMPTS[:3], 44  # several blocks of the cache
    for group in ([prompts[0]], prompts):
        check_against_naive(pair, group, sets, new)
    assert any(one.times > 1 for one in replayed)
    calls = replayed[0].kernels.calls
    assert calls["turn"] == calls["gated"] > 0
    assert calls["added_and_normed"] > calls["turn"]


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "lockstep"])
def test_replayed_steps_are_sampled_alike(shared, replayed, monkeypatch):
    pair = (tiny.shared_pair if shared else tiny.lockstep_pair)()
    ns, how = NeuronSet.random(pair, 20, seed=1), Sampling(0.9, 0.9)
    found = generate(pair, tiny.PROMPTS[:3], ns, 24, sampling=how)
    assert any(one.times > 1 for one in replayed)
    monkeypatch.undo()
    assert found == generate(pair, tiny.PROMPTS[:3], ns, 24, sampling=how)


def test_a_patch_of_some_positions_is_not_replayed(replayed):
    pair = tiny.shared_pair()
    ns = NeuronSet.random(pair, 30, seed=3)
    ids = pair.encode(tiny.PROMPTS[0])
    for positions in ("answer", 3):
        out = sweep(pair, [tiny.PROMPTS[0]], Columns([Patch(ns, positions=positions)]), Decoding(NEW))
        assert list(out.patched[0][0].token_ids) == naive_patched(pair, ids, ns, NEW, positions=positions)
    assert not replayed
