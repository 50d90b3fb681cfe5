"""A trace over an answer: against full forward passes, token by token, and its parts against the whole."""

import numpy as np
import pytest
import torch

from explorer.engine.patching import generate
from explorer.engine.reading import TokenText
from explorer.engine.reference import _logits, _patched_logits, naive_activations
from explorer.engine.token_margin import TokenMargin
from explorer.engine.trace import trace
from explorer.engine.traced import READERS
from explorer.errors import ExplorerError
from explorer.models.hooks import neuron_hooks
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

PROMPT, NEW = "Why?", 6
MARGIN = TokenMargin(np.array([3, 7, 11]), np.array([1.0, -0.4, -0.6]))
KINDS = ["llama", "gemma2", "gemma3_text", "olmo2", "gpt2", "opt", "falcon", "mixtral", "t5", "llama twice", "t5 twice"]


def pair_of(kind: str):
    return tiny.any_pair(kind.removesuffix(" twice"), shared=not kind.endswith("twice"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_equals_that_of_full_passes(kind) -> None:
    pair = pair_of(kind)
    cap = getattr(pair.backbone1.config, "final_logit_softcapping", None)
    ids = pair.encode(PROMPT)
    patch = Patch(NeuronSet.random(pair, 30, seed=1), 0.7, 3)
    answer = generate(pair, [PROMPT], patch.neurons, NEW).aligned[0].token_ids
    found = trace(pair, PROMPT, answer, patch, MARGIN)
    assert found.margin is not None
    for place in range(len(answer)):
        text = TokenText(ids, answer[:place])
        with torch.inference_mode():
            logits = [
                _logits(pair.m1, text),
                _patched_logits(pair, text, patch.neurons, patch.strength, patch.positions),
                _logits(pair.m2, text),
            ]
        logs = torch.stack(logits).double().log_softmax(-1)
        p = logs[1].exp()
        scale = float(logs.abs().max())
        for got, other in ((found.kl_to_m1, 0), (found.kl_to_m2, 2)):
            assert_close(got[place], (p * (logs[1] - logs[other])).sum(), layers=tiny.LAYERS, scale=scale)
            assert got[place] >= 0
        assert_close(found.shares[:, place], logs.exp().topk(5).values, layers=tiny.LAYERS, scale=scale)
        assert_close(found.own[:, place], logs[:, answer[place]].exp(), layers=tiny.LAYERS, scale=scale)
        if cap is not None:  # margins are of what the unembedding gives, before Gemma 2 caps it
            logits = [torch.atanh(one.double() / cap) * cap for one in logits]
        size = float(torch.stack(logits).abs().max())
        assert_close(found.margin[:, place], MARGIN.of(torch.stack(logits)), layers=tiny.LAYERS, scale=size)
        chosen, other = int(found.chosen[place]), int(found.other[place])
        moved = (logits[1] - logits[0])[chosen] - (logits[1] - logits[0])[other]
        assert_close(found.moved[place], moved, layers=tiny.LAYERS, scale=size)
    assert found.choices[2].tolist() == list(answer)  # its own greedy answer
    assert {int(i) for i in found.top.ravel()} <= set(found.texts)


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "olmo2", "gpt2", "mixtral", "llama twice"])
def test_the_direct_effect_is_what_changes_while_all_else_is_held(kind) -> None:
    from tests.unit.test_writing import held_logits

    pair = pair_of(kind)
    ns = NeuronSet.random(pair, 30, seed=2)
    answer = generate(pair, [PROMPT], ns, NEW).patched[0].token_ids
    found = trace(pair, PROMPT, answer, Patch(ns), kept=len(ns))
    text = TokenText(pair.encode(PROMPT), answer[:-1])
    first = naive_activations(pair.m1, list(text.prompt), text.answer)
    second = naive_activations(pair.m2, list(text.prompt), text.answer)
    change = torch.stack([(second[la] - first[la])[:, i] for la, i in zip(ns.layers, ns.neurons, strict=True)])
    with torch.inference_mode():
        plain, changed = held_logits(pair.backbone1, ns, change, text)
    more, rows = (changed - plain)[-len(answer) :], range(len(answer))
    want = more[rows, found.chosen] - more[rows, found.other]
    assert_close(found.direct, want, layers=tiny.LAYERS, scale=float(changed.abs().max()))
    assert_close(found.added.sum(axis=1), found.direct, layers=tiny.LAYERS, scale=np.abs(found.added).sum())
    assert (np.diff(np.abs(found.added), axis=1) <= 0).all()
    top = found.moved_by(2).neurons[0]
    assert (top.layer, top.neuron) in set(zip(ns.layers.tolist(), ns.neurons.tolist(), strict=True))
    assert found.moved_by(2).direct == pytest.approx(float(found.direct[2]))


def test_all_neurons_of_a_shared_pair_make_m2() -> None:
    pair = tiny.shared_pair()
    every = NeuronSet.from_flat(np.arange(pair.total_neurons), pair)
    found = trace(pair, PROMPT, [5, 6, 7, 8], Patch(every), MARGIN)
    assert_close(found.kl_to_m2, np.zeros(4), layers=tiny.LAYERS, scale=float(found.kl_to_m1.max()))
    assert found.kl_to_m1.min() > 1e-3
    assert_close(found.margin[1], found.margin[2], layers=tiny.LAYERS)
    assert found.choices[1].tolist() == found.choices[2].tolist()


def test_strength_0_and_no_neurons_are_m1() -> None:
    pair = tiny.shared_pair()
    for patch in (Patch(NeuronSet.random(pair, 20, seed=0), 0.0), Patch(NeuronSet.from_pairs([], pair))):
        found = trace(pair, PROMPT, [5, 6, 7], patch)
        assert found.margin is None
        assert not found.kl_to_m1.any()
        assert not found.moved.any()
        assert not found.direct.any()
        assert not found.reached.any()


@pytest.mark.parametrize(
    ("positions", "reached"),
    [("prompt", [1, 0, 0, 0]), ("last_prompt", [1, 0, 0, 0]), ("answer", [0, 1, 1, 1]), (2, [0, 1, 1, 0])],
)
def test_nothing_is_written_directly_where_nothing_is_patched(positions, reached) -> None:
    pair = tiny.shared_pair()
    found = trace(pair, PROMPT, [5, 6, 7, 8], Patch(NeuronSet.random(pair, 20, seed=0), positions=positions))
    assert found.reached.tolist() == [bool(r) for r in reached]
    assert (found.direct != 0).tolist() == found.reached.tolist()
    assert (found.kl_to_m1 > 0).tolist() == [positions != "answer" and positions != 2, True, True, True]


@pytest.mark.parametrize("back", [False, True], ids=["restore", "break"])
def test_answers_part_where_greedy_answers_do(back) -> None:
    pair = tiny.shared_pair(seed=3).reversed() if back else tiny.shared_pair(seed=3)
    patch = Patch(NeuronSet.random(pair, 40, seed=1))
    out = generate(pair, [PROMPT], patch.neurons, NEW)
    answers = [getattr(out, name)[0].token_ids for name in READERS]
    for row, answer in enumerate(answers):
        found = trace(pair, PROMPT, answer, patch)
        for reader, other in enumerate(answers):
            both = [i for i, (a, b) in enumerate(zip(answer, other, strict=False)) if a != b]
            assert found.parts(reader) == (None if reader == row else both[0] if both else found.parts(reader))
    assert answers[0] != answers[1] != answers[2]


def test_what_cannot_be_traced_is_one_sentence() -> None:
    pair = tiny.shared_pair()
    patch = Patch(NeuronSet.random(pair, 5, seed=0))
    with pytest.raises(ExplorerError, match="has no tokens"):
        trace(pair, PROMPT, [], patch)
    with pytest.raises(ExplorerError, match="the model takes at most"):
        trace(pair, PROMPT, [5] * 600, patch)
    with pytest.raises(ExplorerError, match="no embedding"):
        trace(pair, PROMPT, [5, 260], patch)
    bert = tiny.any_pair("bert")
    with pytest.raises(ExplorerError, match="classifier"):
        trace(bert, PROMPT, [5], Patch(NeuronSet.random(bert, 5, seed=0)))
    with pytest.raises(ExplorerError, match="another shape"):
        trace(tiny.any_pair("qwen2_moe"), PROMPT, [5], patch)


def test_hooks_are_let_go_and_the_callback_can_end_it() -> None:
    pair = tiny.shared_pair()
    patch = Patch(NeuronSet.random(pair, 5, seed=0))

    def stop(_share: float) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        trace(pair, PROMPT, [5, 6], patch, progress=stop)
    first, again = (trace(pair, PROMPT, [5, 6], patch).own for _ in range(2))
    assert np.array_equal(first, again)
    seen: list[int] = []
    with neuron_hooks(pair.backbone1, lambda layer, _h: seen.append(layer)), torch.inference_mode():
        pair.backbone1(input_ids=torch.tensor([[1, 2]]), use_cache=False)
    assert seen == list(range(tiny.LAYERS))
