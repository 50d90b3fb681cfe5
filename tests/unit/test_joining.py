"""Requests that join and leave a running batch get the answers that they would get alone."""

import random

import numpy as np
import pytest

from explorer.engine.backends.joined import can_join
from explorer.engine.batch import DecodeBatch
from explorer.engine.decoding import decode
from explorer.engine.joining import Asked, Joint
from explorer.engine.options import ALIGNED, Columns, Decoding
from explorer.errors import ExplorerError
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from tests import tiny

POSITIONS = ("all", "all", "prompt", "last_prompt", "answer", 3, "prompt+answer[:2]", "answer[1:]")


def asked(pair, number: int, rng: random.Random) -> Asked:
    """A request with a prompt, patches, columns and a limit of its own."""

    def patch() -> Patch:
        ns = NeuronSet.random(pair, rng.randrange(1, 40), seed=rng.randrange(1000))
        return Patch(ns, rng.choice([1.0, 1.0, 0.5, 2.0, 0.0]), rng.choice(POSITIONS))

    patches = [patch() for _ in range(rng.choice([0, 1, 1, 1, 3]))]
    if rng.random() < 0.2:
        patches.append(Patch(NeuronSet.from_flat(np.arange(pair.total_neurons), pair, "all")))
    aligned = not patches or rng.random() < 0.8
    what = Columns(patches, unpatched=rng.random() < 0.8, aligned=aligned)
    limit = rng.randrange(1, 20)
    prompt = tiny.PROMPTS[number % len(tiny.PROMPTS)]
    return Asked(pair.encode(prompt, limit), what, Decoding(limit))


def alone(pair, one: Asked) -> dict[int, list[int]]:
    texts: dict[int, list[int]] = {}
    for step in decode(pair, [one.ids], one.what, one.how):
        for token in step:
            texts.setdefault(token.column, []).append(token.token)
    return texts


def together(pair, requests: list[Asked], rng: random.Random, leavers: set[int] = frozenset()):
    """All texts by request and column; requests join at random steps, leavers go after a few."""
    joint, texts, ended = Joint(pair), {}, {}
    waiting, ids = list(range(len(requests))), {}

    def take(which: int, tokens) -> None:
        for token in tokens:
            texts.setdefault((which, token.column), []).append(token.token)
            assert (which, token.column) not in ended
            if token.ended:
                ended[which, token.column] = True

    steps = most = 0
    while waiting or joint.active:
        while waiting and joint.takes_another and rng.random() < 0.5:
            which = waiting.pop(0)
            number, tokens = joint.join(requests[which])
            ids[number] = which
            take(which, tokens)
        for number, tokens in joint.step().items():
            take(ids[number], tokens)
        for number, which in list(ids.items()):
            if which in leavers and rng.random() < 0.3:
                joint.leave(number)
                del ids[number]
                ids[number] = which
        steps += 1
        most = max(most, len(joint._open))
        assert steps < 2000
    return texts, most


PAIRS = {
    "fused, shared": lambda: tiny.shared_pair(),
    "fused, lockstep": lambda: tiny.lockstep_pair(),
    "hooked, shared": lambda: tiny.any_pair("gpt2"),
    "hooked, lockstep": lambda: tiny.any_pair("gpt_neox", shared=False),
    "fused, reversed": lambda: tiny.shared_pair().reversed(),
    "a sliding window": lambda: tiny.shared_pair("gemma2"),
    "an encoder and a decoder": lambda: tiny.any_pair("t5"),
}


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("seed", range(3))
def test_answers_are_those_of_a_request_alone(kind, seed):
    pair, rng = PAIRS[kind](), random.Random(seed)
    requests = [asked(pair, i, rng) for i in range(10)]
    texts, most = together(pair, requests, rng)
    for which, one in enumerate(requests):
        assert {c: t for (w, c), t in texts.items() if w == which} == alone(pair, one)
    assert most > 1 or kind in ("a sliding window", "an encoder and a decoder")


def test_who_leaves_disturbs_nobody():
    pair, rng = tiny.shared_pair(), random.Random(5)
    requests = [asked(pair, i, rng) for i in range(12)]
    leavers = {1, 4, 5, 9}
    texts, _ = together(pair, requests, rng, leavers)
    for which, one in enumerate(requests):
        expected = alone(pair, one)
        for column, text in expected.items():
            got = texts.get((which, column), [])
            assert got == text[: len(got)]
            assert which in leavers or got == text


def test_a_batch_that_is_joined_for_long_does_not_grow():
    pair, rng = tiny.shared_pair(), random.Random(0)
    ns = NeuronSet.random(pair, 20, seed=1)
    joint, widths = Joint(pair), []
    for i in range(80):
        joint.join(Asked(pair.encode(tiny.PROMPTS[i % 20], 8), Columns([ns]), Decoding(8)))
        for _ in range(rng.randrange(1, 4)):
            joint.step()
        if joint._batch is not None:
            assert can_join(joint._batch.passes)
            widths.append(joint._batch.passes[0].cache.shape[3])
            assert len(joint._batch.prompts) <= 10
    longest = max(len(pair.encode(p, 8)) for p in tiny.PROMPTS)
    assert max(widths) < 3 * (longest + 8)


def test_what_cannot_be_written_is_refused_and_disturbs_nobody():
    pair, other = tiny.shared_pair(), tiny.any_pair("gpt2")
    joint, ids = Joint(pair), pair.encode("Why?", 8)
    joint.join(Asked(ids, Columns(), Decoding(8)))
    foreign = NeuronSet.from_flat(np.arange(3), other, "some")
    object.__setattr__(foreign, "n_layers", 99)
    with pytest.raises(ExplorerError, match="neuron set is of a model with 99"):
        joint.join(Asked(ids, Columns([foreign]), Decoding(8)))
    written = [t for _ in range(9) for tokens in joint.step().values() for t in tokens]
    expected = alone(pair, Asked(ids, Columns(), Decoding(8)))
    assert [t.token for t in written if t.column == ALIGNED] == expected[ALIGNED][1:]


@pytest.mark.parametrize("kind", ["fused, shared", "fused, lockstep"])
def test_what_all_prompts_begin_with_is_read_once_for_the_same_columns(kind, monkeypatch):
    pair = PAIRS[kind]()
    monkeypatch.setattr("explorer.engine.prefixes.SHORTEST", 1)
    read = []
    original = DecodeBatch.read
    monkeypatch.setattr(DecodeBatch, "read", lambda batch: (read.append(batch.prompts[0]), original(batch)))
    sets = [NeuronSet.random(pair, 20, seed=seed) for seed in (1, 2)]
    for ns in [sets[0], sets[0], sets[1], sets[0]]:
        for prompt in tiny.PROMPTS[:3]:
            one = Asked(pair.encode(prompt, 8), Columns([ns]), Decoding(8))
            joint, texts = Joint(pair), {}
            _, tokens = joint.join(one)
            while tokens or joint.active:
                for token in tokens:
                    texts.setdefault(token.column, []).append(token.token)
                tokens = [token for its in joint.step().values() for token in its]
            assert texts == alone(pair, one)
    head = pair.encode("a")[: len(read[0])]
    assert read == [head, head]  # for each of the two sets
