"""The models' own answers are written and scored once, whoever patches other neurons at the same prompt."""

import threading
from dataclasses import replace

import pytest

import explorer
from explorer.engine.options import Sampling
from explorer.serve.generation import Generation
from explorer.serve.job import Phase
from explorer.serve.known_answers import KnownAnswers
from explorer.serve.loading import SharedPair
from explorer.serve.once import ScoredOnce
from explorer.serve.strip import ALIGNED, UNPATCHED, Strip, StripRequest
from explorer.serve.worker import Worker
from tests import tiny
from tests.unit.test_worker import finish, no_score, request, until

OWN = ("unpatched", "aligned")


@pytest.fixture(scope="module")
def pair():
    return tiny.shared_pair()


@pytest.fixture
def worker(pair):
    return Worker(SharedPair("tiny", lambda _tell: pair), None, no_score)


def asked(worker: Worker, req) -> Generation:
    generation = Generation(req)
    worker.submit(generation)
    finish(generation)
    assert generation.problem == ""
    return generation


@pytest.mark.parametrize("direction", ["restore", "break"])
def test_another_set_at_the_same_prompt_is_given_the_own_answers_again(pair, worker, direction) -> None:
    one = replace(request(k=30), direction=direction)
    first = asked(worker, one)
    assert not any(first.columns[name].known for name in first.columns)
    for other in (replace(request(k=60), direction=direction), replace(request(k=61, tokens=5), direction=direction)):
        second = asked(worker, other)
        way = pair.reversed() if direction == "break" else pair
        expected = explorer.generate(way, [other.prompt], other.neurons, other.max_new_tokens)
        for name, column in second.columns.items():
            assert column.text == getattr(expected, name)[0].text
            assert column.ids == list(getattr(expected, name)[0].token_ids)
            assert column.end is not None
            assert (column.cost, column.refused) == (-1.5, True)
        assert second.written == ["patched"]
        assert second.tokens_per_second == pytest.approx(second.columns["patched"].tokens / second.seconds)


def test_the_other_way_round_the_models_change_places(worker) -> None:
    first = asked(worker, request())
    second = asked(worker, replace(request(), direction="break"))
    assert second.written == ["patched"]
    assert [second.columns[name].text for name in OWN] == [first.columns[name].text for name in reversed(OWN)]


def test_a_film_strip_and_what_follows_it_share_them(worker) -> None:
    first = asked(worker, request())
    few, many = request(k=10).neurons, request(k=60).neurons
    strip = Strip(StripRequest("Why?", {0.1: few, 0.5: many}, 12))
    worker.submit(strip)
    finish(strip)
    assert strip.frames[UNPATCHED].text == first.columns["unpatched"].text
    assert strip.frames[ALIGNED].text == first.columns["aligned"].text
    assert [strip.frames[at].known for at in (UNPATCHED, 0.1, 0.5, ALIGNED)] == [True, False, False, True]


def test_the_same_again_is_known_whole(worker) -> None:
    one = replace(request(), control=request(k=45).neurons)
    first = asked(worker, one)
    again = asked(worker, one)
    assert again.written == []
    assert again.tokens_per_second is None
    for name, column in again.columns.items():
        assert (column.text, column.ids, column.end) == (
            first.columns[name].text,
            first.columns[name].ids,
            first.columns[name].end,
        )
    turned = replace(one, neurons=one.control, control=one.neurons)
    assert asked(worker, turned).columns["patched"].ids == first.columns["control"].ids
    for other in (replace(one, strength=0.5), replace(one, positions="answer"), replace(one, direction="break")):
        assert {"patched", "control"} <= set(asked(worker, other).written)


def test_columns_with_conversations_of_their_own_are_known_by_them(worker) -> None:
    said = {"patched": (("user", "Who?"), ("assistant", "I."))}
    first = asked(worker, replace(request(), own=said))
    assert asked(worker, replace(request(), own=said)).written == []
    assert asked(worker, request()).written == ["patched"]
    assert asked(worker, replace(request(), before=said["patched"])).columns["patched"].known
    assert first.columns["patched"].end is not None


def test_what_is_asked_otherwise_is_written_anew(worker) -> None:
    asked(worker, request())
    for other in (
        request("How?"),
        request(tokens=13),
        replace(request(), before=(("user", "Who?"), ("assistant", "I."))),
        replace(request(), sampling=Sampling(0.9, seed=3)),
    ):
        assert "unpatched" in asked(worker, other).written


def test_sampled_answers_are_not_kept(worker) -> None:
    sampled = replace(request(), sampling=Sampling(0.9, seed=3))
    asked(worker, sampled)
    assert len(asked(worker, sampled).written) == 3
    assert len(asked(worker, request()).written) == 3


def test_a_longer_answer_begins_with_a_shorter_one_and_the_oldest_goes_first(pair) -> None:
    stop = next(iter(pair.stop_ids))
    known = KnownAnswers(most=2)
    known.keep(pair, 1, [1, 2], [5, 6, 7])
    assert known.of(pair, 1, [1, 2], 2) == [5, 6]
    assert known.of(pair, 1, [1, 2], 4) is None
    assert known.of(pair, 2, [1, 2], 2) is None
    known.keep(pair, 1, [1, 2], [5])
    assert known.of(pair, 1, [1, 2], 3) == [5, 6, 7]
    known.keep(pair, 1, [3], [5, stop])
    assert known.of(pair, 1, [3], 64) == [5, stop]
    assert known.of(pair, 1, [1, 2], 1) == [5]
    known.keep(pair, 2, [4], [8])
    assert known.of(pair, 1, [3], 64) is None
    assert known.of(pair, 1, [1, 2], 1) == [5]


def test_they_are_of_one_pair_as_it_was_loaded(pair) -> None:
    known = KnownAnswers()
    known.keep(pair, 1, [1, 2], [5, 6, 7])
    assert known.of(tiny.shared_pair(), 1, [1, 2], 2) is None


def test_an_answer_to_a_prompt_is_scored_once(pair) -> None:
    scored: list[dict[str, str]] = []

    def score(pair_, prompt, texts):
        scored.append(dict(texts))
        return no_score(pair_, prompt, texts)

    once = ScoredOnce(score)
    own = {"unpatched": "Sure.", "aligned": "No."}
    first = once(pair, "Why?", {**own, "patched": "Sure."})
    second = once(pair, "Why?", {**own, "patched": "Well."})
    assert scored == [{**own, "patched": "Sure."}, {"patched": "Well."}]
    assert (first.costs, first.refused, first.rewards) == (second.costs, second.refused, second.rewards)
    assert once(pair, "Why?", own).costs == {"unpatched": -1.5, "aligned": -1.5}
    assert len(scored) == 2
    once(pair, "How?", own)
    once(tiny.shared_pair(), "How?", own)
    assert scored[2:] == [own, own]


def test_what_is_known_is_not_kept_waiting_by_what_is_still_to_be_scored(pair) -> None:
    gate, slow = threading.Event(), threading.Event()

    def score(pair_, prompt, texts):
        if slow.is_set():
            assert gate.wait(20)
        return no_score(pair_, prompt, texts)

    worker = Worker(SharedPair("tiny", lambda _tell: pair), None, ScoredOnce(score))
    asked(worker, request())
    slow.set()
    new = Generation(request("How?"))
    worker.submit(new)
    until(lambda: new.phase is Phase.SCORING, new)
    assert asked(worker, request()).columns["patched"].cost == -1.5
    assert new.active
    gate.set()
    finish(new)
    assert new.columns["patched"].cost == -1.5


def test_an_answer_that_could_not_be_scored_is_tried_again(pair) -> None:
    notes = ["The head is missing.", ""]
    once = ScoredOnce(lambda *given: replace(no_score(*given), note=notes.pop(0)))
    assert once(pair, "Why?", {"patched": "Sure."}).note == "The head is missing."
    assert once(pair, "Why?", {"patched": "Sure."}).note == ""
