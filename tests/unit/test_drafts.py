"""Drafts of what comes next: what they are, and that decoding with them, right or wrong, gives the same answers."""

import random
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from explorer.engine.backends.choosing import begin
from explorer.engine.backends.fused import FusedPass
from explorer.engine.batch import DecodeBatch
from explorer.engine.decoding import decode
from explorer.engine.drafts import PROMPT_LOOKUP, REPEATED, DraftToken, NgramDraft, _repeated
from explorer.engine.options import ALIGNED, UNPATCHED, Columns, Decoding
from explorer.engine.patching import stream, sweep
from explorer.engine.rows import accepted
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

NEW = 12


def test_a_draft_is_what_followed_most_often():
    rng = random.Random(0)
    texts = [[rng.choice([3, 4, 55_296, 150_000]) for _ in range(rng.randrange(30))] for _ in range(40)]
    followers: dict[tuple[int, ...], Counter] = defaultdict(Counter)
    for text in texts:
        for n in (1, 2, 3):
            for i in range(n, len(text)):
                followers[tuple(text[i - n : i])][text[i]] += 1
    draft = NgramDraft.from_arrays(NgramDraft.of(texts).to_arrays())
    for before, after in followers.items():
        token, count = min(after.items(), key=lambda one: (-one[1], one[0]))
        seen = draft._seen(before)
        if count < 2:
            assert seen is None
        else:
            assert seen == (token, pytest.approx(count / (sum(after.values()) + 1)))
    assert len(draft.keys) == sum(max(after.values()) > 1 for after in followers.values())


@pytest.mark.parametrize("texts", [[], [[]], [[1]], [[1, 2], [3]]])
def test_of_too_little_there_is_no_draft(texts):
    assert len(NgramDraft.of(texts).keys) == 0
    assert NgramDraft.of(texts).next([1, 2, 3]) is None


def test_a_text_goes_on_as_it_did_before():
    assert PROMPT_LOOKUP.next([1, 2, 3, 9, 1, 2, 3]) == DraftToken(9, REPEATED[3])
    assert PROMPT_LOOKUP.next([7, 3, 9, 1, 2, 3]) == DraftToken(9, REPEATED[1])
    assert PROMPT_LOOKUP.next([1, 1, 1]) == DraftToken(1, REPEATED[2])
    assert PROMPT_LOOKUP.next([1, 2, 3]) is None
    assert PROMPT_LOOKUP.next([]) is None


def test_the_latest_time_that_tokens_stood_before_counts():
    rng = random.Random(0)
    for _ in range(200):
        text = [rng.randrange(4) for _ in range(rng.randrange(1, 30))]
        for n in range(1, min(3, len(text)) + 1):
            before = [at for at in range(n, len(text)) if text[at - n : at] == text[-n:]]
            wanted = DraftToken(text[before[-1]], REPEATED[n]) if before else None
            assert _repeated(text, n) == wanted


def test_as_many_draft_tokens_for_each_text_as_pay():
    sure = NgramDraft.of([[1, 2, 3, 4, 5, 6]] * 50)
    assert sure.propose([[1, 2], [9, 9]], rows=2, row_price=0.01, most=3) == [[3, 4, 5], [9, 9, 9]]
    assert sure.propose([[1, 2], [8, 9]], rows=2, row_price=0.01, most=3) == [[3, 4, 5], [0, 0, 0]]
    assert sure.propose([[8, 9]], rows=2, row_price=0.01, most=3) == [[]]
    assert sure.propose([[1, 2]], rows=2, row_price=0.01, most=0) == [[]]
    assert sure.propose([[1, 2]], rows=200, row_price=0.1, most=3) == [[]]  # every row is dear
    assert sure.propose([], rows=0, row_price=0.1, most=3) == []
    doubtful = NgramDraft.of([[1, 2], [1, 2], [1, 3], [1, 4], [1, 5], [1, 6]])  # 2 of 6, counted as 2 of 7
    assert doubtful.propose([[1]], rows=1, row_price=0.05, most=3) == [[2]]
    assert doubtful.propose([[1]], rows=2, row_price=0.5, most=3) == [[]]


def test_what_is_written_ends_at_the_first_rejected_token():
    assert accepted([5], []) == [5]
    assert accepted([5, 6, 7], [5, 6]) == [5, 6, 7]
    assert accepted([5, 6, 7], [5, 9]) == [5, 6]
    assert accepted([5, 6, 7], [9, 6]) == [5]


class Prophet:
    """Knows the answers, and errs so often."""

    def __init__(self, known: list[list[int]], errs: float = 0.0) -> None:
        self.known, self.errs, self.rng = known, errs, random.Random(3)

    def propose(self, texts, rows, row_price, most):
        assert row_price > 0
        length = self.rng.randint(0, most) if self.errs else most
        return [self._guess(text, length) for text in texts]

    def _guess(self, text, length):
        rest = next((k[len(text) :] for k in self.known if k[: len(text)] == text), [])
        guess = (rest + [0] * length)[:length]
        return [260 - 1 - token if self.rng.random() < self.errs else token for token in guess]


@pytest.mark.parametrize("make", [tiny.shared_pair, tiny.lockstep_pair])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("errs", [0.0, 0.3, 1.0])
def test_answers_are_the_same_with_any_draft(make, kind, errs):
    pair = make(kind)
    prompts = tiny.PROMPTS[:6]
    sets = [NeuronSet.random(pair, n, seed=n) for n in (10, 30)]
    plain = sweep(pair, prompts, Columns(sets), Decoding(NEW))
    known = [
        pair.encode(prompt) + list(answers[i].token_ids)
        for answers in (plain.unpatched, plain.aligned, *plain.patched)
        for i, prompt in enumerate(prompts)
    ]
    for max_rows in (4, 1000):
        assert (
            sweep(pair, prompts, Columns(sets), Decoding(NEW, max_rows=max_rows, draft=Prophet(known, errs))) == plain
        )
    steps = list(stream(pair, prompts[0], sets[0], NEW, Prophet(known, errs)))
    written = [step.patched.id for step in steps if step.patched]
    assert tuple(written) == plain.patched[0][0].token_ids


def test_accepted_tokens_save_steps():
    pair = tiny.shared_pair()
    ids, ns = pair.encode("Hi"), NeuronSet.random(pair, 10, seed=1)
    plain = list(decode(pair, [ids], Columns([ns]), Decoding(NEW)))
    answers = [[e.token for step in plain for e in step if e.column == c] for c in (UNPATCHED, 0, ALIGNED)]
    quick = list(decode(pair, [ids], Columns([ns]), Decoding(NEW, draft=Prophet([ids + a for a in answers]))))
    assert [[e.token for step in quick for e in step if e.column == c] for c in (UNPATCHED, 0, ALIGNED)] == answers
    assert len(quick) < len(plain) / 2  # columns that begin alike are at first taken for the same
    ended = [e for step in quick for e in step if e.ended]
    assert sorted(e.column for e in ended) == sorted((UNPATCHED, 0, ALIGNED))


def test_no_draft_where_tokens_cannot_be_rolled_back():
    pair = tiny.any_pair("gpt2")  # by transformers' own forward
    batch = DecodeBatch(pair, [pair.encode("Hi")], [], [UNPATCHED], Decoding(NEW, draft=Prophet([[]])))
    for _ in range(3):
        batch.step()
        batch.advance()
        assert batch.drafted == 0


def test_rows_that_rolled_tokens_back_go_on_as_if_alone():
    module = tiny.model("llama")
    texts = [[1, 2, 3], [4, 5, 6, 7]]
    one = begin(module, 5)
    assert isinstance(one, FusedPass)
    with torch.inference_mode():
        one.forward(texts, lambda layer, h: None)
        for new, counts in (
            ([[10, 11, 12], [20, 21, 22]], [2, 1]),
            ([[13, 14], [23, 24]], [1, 1]),
            ([[15, 16, 17, 18], [25, 26, 27, 28]], [0, 3]),
        ):
            one.forward(new, lambda layer, h: None)
            one.forget(counts)
            texts = [text + row[: len(row) - count] for text, row, count in zip(texts, new, counts, strict=True)]
        got = one.forward([[19, 30, 31], [29, 40, 41]], lambda layer, h: None, 3)
        assert got.shape[:2] == (2, 3)
        for row, text in enumerate((texts[0] + [19, 30, 31], texts[1] + [29, 40, 41])):
            alone = begin(module, 40).forward([text], lambda layer, h: None, 3)
            assert_close(got[row], alone[0], layers=tiny.LAYERS)


def test_the_arrays_are_small_and_sorted():
    draft = NgramDraft.of([[1, 2, 3, 1, 2, 3, 1, 2, 3]])
    assert (np.diff(draft.keys) > 0).all()
    assert [draft.keys.dtype, draft.tokens.dtype, draft.chances.dtype] == [np.int64, np.int32, np.float32]
