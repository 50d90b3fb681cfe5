"""Sampling: the same random numbers in every column, batch, back end and order, and the right distribution."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from explorer.engine.backends.choosing import begin
from explorer.engine.batch import DecodeBatch
from explorer.engine.decoding import decode
from explorer.engine.drafts import PROMPT_LOOKUP, NgramDraft
from explorer.engine.joining import Asked, Joint
from explorer.engine.options import ALIGNED, UNPATCHED, Columns, Decoding, Sampling
from explorer.engine.patching import generate, stream, sweep
from explorer.engine.reading import TokenText, inputs_of
from explorer.engine.sampling import gumbel_noise, nucleus, sampled
from explorer.errors import ExplorerError
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from tests import tiny

NEW = 10
HOW = Sampling(1.3, 0.9, seed=5)
PAIRS = {
    "fused, shared": lambda: tiny.shared_pair(),
    "fused, lockstep": lambda: tiny.lockstep_pair(),
    "fused, capped logits": lambda: tiny.shared_pair("gemma2"),
    "hooked, shared": lambda: tiny.any_pair("gpt2"),
    "hooked, lockstep": lambda: tiny.any_pair("gpt_neox", shared=False),
    "an encoder and a decoder": lambda: tiny.any_pair("t5"),
    "a bias behind the unembedding": lambda: tiny.any_pair("bart"),
}


def naive_nucleus(logits: torch.Tensor, top_p: float) -> set[int]:
    """The tokens of a nucleus, one after the other; all that are as likely as the last one."""
    shares = logits.double().softmax(-1)
    kept, total = set(), 0.0
    for token in shares.argsort(descending=True).tolist():
        if total >= top_p:
            break
        kept.add(token)
        total += float(shares[token])
    least = min(float(logits[token]) for token in kept)
    return {token for token in range(len(logits)) if float(logits[token]) >= least}


def naive_sampled(model, ids: list[int], how: Sampling, sample: int, stop_ids, limit: int = NEW) -> list[int]:
    """A sampled answer by full forward passes, one token at a time."""
    answer: list[int] = []
    with torch.inference_mode():
        while len(answer) < limit and not (answer and answer[-1] in stop_ids):
            logits = model(**inputs_of(model, [TokenText(ids, answer)]), use_cache=False).logits[0, -1].float()
            tempered = logits / how.temperature
            kept = naive_nucleus(tempered, how.top_p)
            noisy = tempered + gumbel_noise(how.seed, sample, len(answer), len(logits))
            answer.append(max(kept, key=lambda token: float(noisy[token])))
    return answer


def texts_of(steps) -> dict[tuple[int, int], list[int]]:
    texts: dict[tuple[int, int], list[int]] = {}
    for step in steps:
        for token in step:
            texts.setdefault((token.column, token.prompt), []).append(token.token)
    return texts


# -- the noise -------------------------------------------------------------------------------------


def test_the_noise_depends_on_seed_sample_and_place_alone():
    first = gumbel_noise(3, 1, 4, 100)
    gumbel_noise.cache_clear()
    assert torch.equal(first, gumbel_noise(3, 1, 4, 100))
    assert torch.equal(first, gumbel_noise(3, 1, 4, 250)[:100])  # a larger vocabulary begins alike
    for other in ((4, 1, 4), (3, 2, 4), (3, 1, 5)):
        assert not torch.equal(first, gumbel_noise(*other, 100))


def test_the_noise_is_a_standard_gumbel():
    noise = torch.cat([gumbel_noise(seed, 0, 0, 5000) for seed in range(20)]).double()
    assert torch.isfinite(noise).all()
    assert float(noise.mean()) == pytest.approx(np.euler_gamma, abs=0.02)
    assert float(noise.var()) == pytest.approx(np.pi**2 / 6, rel=0.03)


def test_tokens_are_distributed_as_softmax():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5, -30.0])
    for temperature in (0.5, 1.0, 2.0):
        how = [Sampling(temperature, seed=seed) for seed in range(2000)]
        got = sampled(logits.expand(len(how), -1), [(one, 0, 0) for one in how])
        counts = np.bincount(got, minlength=6)[:5]
        expected = 2000 * (logits[:5] / temperature).double().softmax(-1).numpy()
        assert counts.sum() == 2000
        assert float(((counts - expected) ** 2 / expected).sum()) < 18.5  # chi-square, 4 degrees, p = 0.001


# -- top-p -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 260, 3000])
@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0])
def test_a_nucleus_holds_the_fewest_likeliest_tokens(size, spread):
    torch.manual_seed(size)
    logits = (torch.randn(8, size) * spread).to(torch.bfloat16).float()  # with ties
    shares = torch.tensor([[0.001], [0.1], [0.5], [0.7], [0.9], [0.99], [0.9999], [1.0]])
    found = nucleus(logits, shares)
    for row in range(8):
        kept = set(torch.isfinite(found[row]).nonzero().flatten().tolist())
        wanted = naive_nucleus(logits[row], float(shares[row])) if row < 7 else set(range(size))
        assert kept == wanted
        assert torch.equal(found[row][sorted(kept)], logits[row][sorted(kept)])


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PAIRS)
def test_models_alone_sample_what_full_passes_do(kind):
    pair = PAIRS[kind]()
    ns = NeuronSet.random(pair, 20, seed=1)
    prompts = [tiny.PROMPTS[0]] * 3
    how = Sampling(5.0, 0.999, seed=5) if kind == "an encoder and a decoder" else HOW  # its logits are far apart
    out = generate(pair, prompts, ns, NEW, sampling=how)
    ids = pair.encode(prompts[0])
    for sample in range(3):
        assert list(out.unpatched[sample].token_ids) == naive_sampled(pair.m1, ids, how, sample, pair.stop_ids)
        assert list(out.aligned[sample].token_ids) == naive_sampled(pair.m2, ids, how, sample, pair.stop_ids)
    assert len({answer.token_ids for answer in out.unpatched}) > 1


@pytest.mark.parametrize("kind", PAIRS)
def test_patching_nothing_is_m1_and_patching_all_is_m2(kind):
    pair = PAIRS[kind]()
    nothing, everything = NeuronSet.random(pair, 20, seed=1), NeuronSet.from_flat(np.arange(pair.total_neurons), pair)
    patches = [Patch(nothing, 0.0), *([everything] if pair.shared else [])]
    out = sweep(pair, tiny.PROMPTS[:4], Columns(patches), Decoding(NEW, sampling=HOW))
    assert out.patched[0] == out.unpatched
    assert not pair.shared or out.patched[1] == out.aligned


def test_a_set_that_is_nearly_nothing_samples_as_m1():
    pair = tiny.shared_pair()  # by rows of its own, not read off M1's
    out = sweep(pair, tiny.PROMPTS[:4], Columns([Patch(NeuronSet.random(pair, 20), 1e-7)]), Decoding(NEW, sampling=HOW))
    assert out.patched[0] == out.unpatched


@pytest.mark.parametrize("kind", PAIRS)
def test_a_sample_is_the_same_alone_in_a_batch_and_joined(kind):
    pair, rng = PAIRS[kind](), random.Random(0)
    ns, control = NeuronSet.random(pair, 25, seed=2), NeuronSet.random(pair, 25, seed=3)
    what = Columns([ns, control])
    prompts = [tiny.PROMPTS[i % 5] for i in range(10)]
    out = sweep(pair, prompts, what, Decoding(NEW, max_rows=40, sampling=HOW))
    for i, prompt in enumerate(tiny.PROMPTS[:5]):
        for sample in (0, 1):
            steps = list(stream(pair, prompt, ns, NEW, control=control, sampling=HOW, sample=sample))
            place = i + 5 * sample
            for name, answers in (("unpatched", out.unpatched), ("patched", out.patched[0]), ("aligned", out.aligned)):
                got = [getattr(step, name).id for step in steps if getattr(step, name)]
                assert tuple(got) == answers[place].token_ids
            assert tuple(s.control.id for s in steps if s.control) == out.patched[1][place].token_ids
    joint, texts, number_of = Joint(pair), {}, {}
    waiting = list(range(5))
    while waiting or joint.active:
        if waiting and joint.takes_another and (not joint.active or rng.random() < 0.4):
            which = waiting.pop(0)
            asked = Asked(pair.encode(prompts[which]), what, Decoding(NEW, sampling=HOW), samples=(0, 1))
            number, tokens = joint.join(asked)
            number_of[number] = which
            texts[which] = [tokens]
        for number, tokens in joint.step().items():
            texts[number_of[number]].append(tokens)
    for which in range(5):
        found = texts_of(texts[which])
        for sample in (0, 1):
            place = which + 5 * sample
            assert tuple(found[UNPATCHED, sample]) == out.unpatched[place].token_ids
            assert tuple(found[ALIGNED, sample]) == out.aligned[place].token_ids
            assert tuple(found[0, sample]) == out.patched[0][place].token_ids
            assert tuple(found[1, sample]) == out.patched[1][place].token_ids


def test_sampled_and_greedy_requests_share_a_batch():
    pair = tiny.shared_pair()
    what = Columns([NeuronSet.random(pair, 25, seed=2)])
    joint, texts, hows = Joint(pair), {}, [None, HOW, Sampling(0.0), Sampling(2.0, seed=9)]
    for how in hows:
        number, tokens = joint.join(Asked(pair.encode("Hi"), what, Decoding(NEW, sampling=how)))
        texts[number] = [tokens]
    while joint.active:
        for number, tokens in joint.step().items():
            texts[number].append(tokens)
    for how, steps in zip(hows, texts.values(), strict=True):
        assert texts_of(steps) == texts_of(decode(pair, [pair.encode("Hi")], what, Decoding(NEW, sampling=how)))
    assert texts_of(texts[1]) == texts_of(texts[3]) != texts_of(texts[2])  # temperature 0 is greedy


def test_columns_of_a_request_read_prompts_of_their_own():
    pair = tiny.shared_pair()
    ns = NeuronSet.random(pair, 25, seed=2)
    what, how = Columns([ns]), Decoding(NEW, sampling=HOW)
    own = {UNPATCHED: pair.encode("Why?"), 0: pair.encode("Write a poem."), ALIGNED: pair.encode("12345")}
    joint = Joint(pair)
    number, tokens = joint.join(Asked(pair.encode("Hi"), what, how, samples=(0, 1), own=own))
    steps = [tokens]
    while joint.active:
        steps.append(joint.step().get(number, []))
    found = texts_of(steps)
    assert len(found) == 6
    for (column, sample), text in found.items():
        alone = texts_of(decode(pair, [own[column]], what, how, samples=[sample]))
        assert text == alone[column, 0]


@pytest.mark.parametrize("kind", ["fused, shared", "fused, lockstep"])
def test_drafts_change_no_sample(kind, monkeypatch):
    pair = PAIRS[kind]()
    what = Columns([NeuronSet.random(pair, 25, seed=2)])
    prompts = [pair.encode(prompt) for prompt in tiny.PROMPTS[:4]]
    plain = texts_of(decode(pair, prompts, what, Decoding(NEW, sampling=HOW)))
    drafted: list[int] = []

    class Known(NgramDraft):
        """Proposes what is sampled, now and then wrongly."""

        def propose(self, texts, rows, row_price, most):
            found = []
            for text in texts:
                for (_, prompt), answer in plain.items():
                    whole = [*prompts[prompt], *answer]
                    if whole[: len(text)] == list(text) and len(whole) > len(text):
                        found.append([*whole[len(text) :], *[0] * most][:most])
                        break
                else:
                    found.append([0] * most)
            drafted.append(most)
            return [
                [token if random.Random(token + i).random() < 0.8 else 7 for i, token in enumerate(f)] for f in found
            ]

    empty = PROMPT_LOOKUP
    draft = Known(empty.keys, empty.tokens, empty.chances)
    steps = list(decode(pair, prompts, what, Decoding(NEW, draft=draft, sampling=HOW)))
    assert texts_of(steps) == plain
    assert drafted
    assert len(steps) < NEW  # some were accepted


def test_without_a_temperature_nothing_is_sampled(monkeypatch):
    pair = tiny.shared_pair()
    ns = NeuronSet.random(pair, 25, seed=2)
    greedy = generate(pair, tiny.PROMPTS[:4], ns, NEW)

    def never(*_args):
        raise AssertionError("greedy decoding asked for a sample")

    monkeypatch.setattr(DecodeBatch, "_sampled", never)
    monkeypatch.setattr(DecodeBatch, "_places", never)
    assert generate(pair, tiny.PROMPTS[:4], ns, NEW, sampling=None) == greedy
    assert generate(pair, tiny.PROMPTS[:4], ns, NEW, sampling=Sampling(0.0, 0.5, seed=9)) == greedy


def test_a_temperature_near_zero_is_greedy():
    pair = tiny.shared_pair()
    ns = NeuronSet.random(pair, 25, seed=2)
    greedy = generate(pair, tiny.PROMPTS[:4], ns, NEW)
    assert generate(pair, tiny.PROMPTS[:4], ns, NEW, sampling=Sampling(1e-6)) == greedy
    assert generate(pair, tiny.PROMPTS[:4], ns, NEW, sampling=Sampling(1.0, 1e-9, seed=4)) == greedy


def test_the_first_token_over_many_seeds_is_distributed_as_softmax():
    pair = tiny.shared_pair()
    ids = pair.encode("Hi")
    rows = begin(pair.backbone1, len(ids) + 1)
    with torch.inference_mode():
        logits = rows.logits(rows.forward([ids], lambda _layer, _h: None)[:, -1])[0].double()
    shares = (logits / 0.8).softmax(-1).numpy()
    out = generate(pair, ["Hi"] * 400, NeuronSet.random(pair, 5), 1, sampling=Sampling(0.8, seed=11))
    likeliest = np.argsort(-shares)[:6]
    counts = np.array([sum(a.token_ids[0] == token for a in out.unpatched) for token in likeliest])
    counts, expected = np.append(counts, 400 - counts.sum()), 400 * np.append(shares[likeliest], 0.0)
    expected[-1] = 400 - expected.sum()
    kept = expected > 5
    assert kept.sum() > 2
    statistic = float(((counts - expected)[kept] ** 2 / expected[kept]).sum())
    assert statistic < 24.3  # chi-square, up to 7 classes, p = 0.0005


def test_a_larger_seed_or_sample_is_another_answer():
    pair = tiny.shared_pair()
    ns = NeuronSet.random(pair, 5)
    found = [generate(pair, ["Hi"] * 4, ns, NEW, sampling=Sampling(1.5, seed=seed)).patched for seed in range(3)]
    ids = [answer.token_ids for answers in found for answer in answers]
    assert len(set(ids)) > 9
    assert all(a != b for a, b in pairwise(ids))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"temperature": -0.1}, "The temperature must be a number from 0"),
        ({"temperature": 6}, "The temperature must be a number from 0"),
        ({"temperature": float("nan")}, "The temperature must be a number from 0"),
        ({"temperature": True}, "The temperature must be a number from 0"),
        ({"top_p": 0}, "Top-p must be a number above 0"),
        ({"top_p": 1.01}, "Top-p must be a number above 0"),
        ({"top_p": "0.9"}, "Top-p must be a number above 0"),
        ({"seed": -1}, "The seed of the sampling must be a whole number"),
        ({"seed": 2**32}, "The seed of the sampling must be a whole number"),
        ({"seed": 1.0}, "The seed of the sampling must be a whole number"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(wrong, said):
    with pytest.raises(ExplorerError, match=said):
        Sampling(**wrong)


def test_a_sample_has_a_number():
    with pytest.raises(ExplorerError, match="The number of a sample"):
        stream(tiny.shared_pair(), "Hi", NeuronSet.random(tiny.shared_pair(), 5), sample=-1)
