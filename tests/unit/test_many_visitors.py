"""Many visitors at one pair: answers side by side, fair between visitors, each as if it were alone."""

import gc
import random
import threading
import time
import weakref

import numpy as np
import pytest

import explorer
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet
from explorer.serve.generation import COLUMNS, End, Generation, Limits, Phase, Request
from explorer.serve.job import Ended
from explorer.serve.line import Line, QueueLimits
from explorer.serve.loading import SharedPair
from explorer.serve.neuron_reading import NeuronReading, NeuronRequest
from explorer.serve.pace import Pace
from explorer.serve.prompt_list import ListRequest, PromptList
from explorer.serve.strip import ALIGNED, UNPATCHED, Strip, StripRequest
from explorer.serve.worker import Worker
from tests import tiny
from tests.unit.test_worker import Slow, finish, no_score, request, until


@pytest.fixture(scope="module")
def pair():
    return tiny.shared_pair()


@pytest.fixture
def source(pair):
    return SharedPair("tiny", lambda _tell: pair)


def some(pair, rng: random.Random) -> Request:
    ns = NeuronSet.random(pair, rng.randrange(1, 40), seed=rng.randrange(100))
    way, positions = rng.choice(["restore", "restore", "break"]), rng.choice(["all", "all", "prompt", 2])
    how = {"direction": way, "strength": rng.choice([1.0, 0.5]), "positions": positions}
    return Request(rng.choice(tiny.PROMPTS), ns, rng.randrange(1, 24), **how)


def expected(pair, asked: Request) -> dict[str, str]:
    way = pair.reversed() if asked.backwards else pair
    out = explorer.generate(
        way,
        [asked.prompt],
        asked.neurons,
        asked.max_new_tokens,
        strength=asked.strength,
        positions=asked.positions,
    )
    return {name: getattr(out, name)[0].text for name in COLUMNS}


@pytest.mark.parametrize("kind", ["shared", "lockstep", "an encoder and a decoder"])
def test_many_at_once_get_the_answers_of_the_python_api(kind):
    made = {"shared": tiny.shared_pair, "lockstep": tiny.lockstep_pair, "an encoder and a decoder": None}[kind]
    pair = tiny.any_pair("t5") if made is None else made()
    rng, worker = random.Random(1), Worker(SharedPair("tiny", lambda _tell: pair), score=no_score)
    generations = [Generation(some(pair, rng)) for _ in range(14)]
    for i, generation in enumerate(generations):
        worker.submit(generation, f"visitor {i % 5}")
        if rng.random() < 0.5:
            time.sleep(rng.random() * 0.05)
    finish(*generations)
    for generation in generations:
        assert generation.problem == ""
        assert generation.notice == ""
        assert {name: column.text for name, column in generation.columns.items()} == expected(pair, generation.request)
        assert all(c.end in (End.TOKEN, End.LIMIT) for c in generation.columns.values())
        assert generation.columns["patched"].cost == -1.5
    assert worker.length == 0


def test_they_are_written_side_by_side(pair, source):
    worker = Worker(source, score=no_score)
    long, short = Generation(request("long", tokens=200)), Generation(request("short", tokens=2))
    worker.submit(long, "a")
    until(lambda: long.tokens > 0, long)
    worker.submit(short, "b")
    until(lambda: not short.active, long, short)
    assert long.active
    assert worker.ahead_of(long) == 0
    long.stop()
    finish(long)


def test_a_film_strip_and_a_reading_go_beside_a_generation(pair, source):
    worker = Worker(source, score=no_score)
    sets = {f: NeuronSet.random(pair, k, seed=1) for f, k in ((0.1, 7), (0.5, 36))}
    strip = Strip(StripRequest("Why?", sets, 9))
    generation, reading = Generation(request(tokens=40)), NeuronReading(NeuronRequest("Hi", 1, 3, 6))
    for number, job in enumerate((generation, strip, reading)):
        worker.submit(job, f"visitor {number}")
    finish(generation, strip, reading)
    found = sweep(pair, ["Why?"], Columns(list(sets.values())), Decoding(9))
    assert [strip.frames[f].text for f in sets] == [answers[0].text for answers in found.patched]
    assert strip.frames[UNPATCHED].text == found.unpatched[0].text
    assert strip.frames[ALIGNED].text == found.aligned[0].text
    assert {c.text for c in generation.columns.values()} == set(expected(pair, generation.request).values())
    assert reading.problem == ""
    assert set(reading.result.words.columns) >= {"token", "m1", "m2"}


def test_a_long_list_gives_way_to_others_between_its_parts(pair, source):
    worker, ns = Worker(source, score=no_score), NeuronSet.random(pair, 9, seed=1)
    work = PromptList(ListRequest(tuple(tiny.PROMPTS), ns, None, 24))
    worker.submit(work, "a")
    until(lambda: bool(work.answers), work)
    generation = Generation(request(tokens=4))
    worker.submit(generation, "b")
    until(lambda: not generation.active, generation, work)
    assert work.active
    assert {n: c.text for n, c in generation.columns.items()} == expected(pair, generation.request)
    finish(work)
    assert work.problem == work.notice == ""
    assert len(work.answers) == len(tiny.PROMPTS)


def test_one_visitor_s_many_do_not_hold_up_another_s_one(source):
    slow = Slow(pause=0.02, steps=10)
    worker = Worker(source, slow, no_score)
    many = [Generation(request(f"many {i}")) for i in range(6)]
    for generation in many:
        worker.submit(generation, "greedy")
    until(lambda: many[0].tokens > 0, *many)
    one = Generation(request("one"))
    worker.submit(one, "modest")
    assert worker.ahead_of(one) == 1
    finish(one, *many)
    assert slow.order.index("one") == 1


def test_who_stops_or_leaves_disturbs_nobody(pair, source):
    worker, rng = Worker(source, score=no_score), random.Random(3)
    stay = [Generation(some(pair, rng)) for _ in range(4)]
    go = Generation(request("go", tokens=200))
    leave = Generation(request("leave", tokens=200), Limits(undrained=0.2))
    for number, generation in enumerate([go, leave, *stay]):
        worker.submit(generation, str(number))
    until(lambda: go.tokens > 3, go, *stay)
    go.stop()
    kept = {name: column.text for name, column in go.columns.items()}
    finish(go, *stay)
    time.sleep(0.3)
    finish(leave)
    assert {name: column.text for name, column in go.columns.items()} == kept
    assert go.columns["patched"].cost == -1.5
    assert "page was left" in leave.notice
    for generation in stay:
        assert {name: column.text for name, column in generation.columns.items()} == expected(pair, generation.request)


def test_a_prompt_that_is_refused_and_a_model_that_fails_end_with_one_sentence(pair, source, monkeypatch):
    worker = Worker(source, score=no_score)
    good, bad = Generation(request("good", tokens=60)), Generation(request("x" * 9000))
    worker.submit(good, "a")
    worker.submit(bad, "b")
    finish(bad)
    assert bad.problem.startswith("The prompt has 9,000 characters")
    finish(good)
    assert good.problem == ""

    from explorer.engine.joining import Joint

    broken = [Generation(request(f"broken {i}", tokens=60)) for i in range(2)]
    monkeypatch.setattr(Joint, "step", lambda _self: 1 / 0)
    for generation in broken:
        worker.submit(generation, generation.id)
    finish(*broken)
    assert [g.problem for g in broken] == ["The generation failed; the server's log says why."] * 2
    monkeypatch.undo()
    after = Generation(request("after"))
    worker.submit(after)
    finish(after)
    assert {n: c.text for n, c in after.columns.items()} == expected(pair, after.request)


def test_the_limit_of_waiting_grows_with_the_queue(source):
    worker = Worker(source, Slow(pause=0.01, steps=25), no_score)
    generations = [Generation(request(f"p{i}"), Limits(waiting=0.35)) for i in range(5)]
    for generation in generations:
        worker.submit(generation, generation.id)
    finish(*generations)  # the last waits four times as long as a job takes, three times the limit
    assert [g.problem for g in generations] == [""] * 5


def test_a_queue_takes_only_so_much_of_one_visitor_and_of_all(source):
    worker = Worker(source, Slow(pause=0.01, steps=200), no_score, limits=QueueLimits(2, 3))
    kept = [Generation(request(str(i))) for i in range(3)]
    worker.submit(kept[0], "a")
    worker.submit(kept[1], "a")
    with pytest.raises(ExplorerError, match="2 requests waiting or at work"):
        worker.submit(Generation(request()), "a")
    worker.submit(kept[2], "b")
    with pytest.raises(ExplorerError, match="3 requests wait or are at work"):
        worker.submit(Generation(request()), "c")
    for generation in kept:
        generation.stop()
    finish(*kept)
    until(lambda: worker.length == 0)
    again = Generation(request())
    worker.submit(again, "a")
    again.drop()


def test_places_are_those_of_a_queue_that_takes_visitors_in_turn():
    line = Line()
    jobs = {name: Generation(request(name)) for name in ("a1", "a2", "a3", "b1", "c1")}
    for name, job in jobs.items():
        line.add(job, name[0], {})
    order = [entry.job.request.prompt for entry in line.order({"a": 1})]
    assert order == ["b1", "c1", "a1", "a2", "a3"]
    assert [entry.job.request.prompt for entry in line.order({})] == ["a1", "b1", "c1", "a2", "a3"]
    jobs["b1"].stop()
    assert line.before(jobs["a2"], {}) == 2
    assert line.before(Generation(request()), {}) is None


def test_an_estimate_is_a_bound_that_shrinks():
    pace, job = Pace(), Generation(request(tokens=100))
    assert pace.wait(1, [job]) is None
    for i in range(50):
        pace.stepped(1, now=100 + 0.2 * i)
    assert pace.step == pytest.approx(0.2)
    assert pace.wait(0, [job]) == pytest.approx(20)
    job.columns["patched"].tokens = job.columns["unpatched"].tokens = job.columns["aligned"].tokens = 90
    assert pace.wait(0, [job]) == pytest.approx(2)
    pace.ended(30.0)
    assert pace.wait(2, [job]) == pytest.approx(62)
    assert pace.wait(3, []) == pytest.approx(90)


@pytest.mark.parametrize("seed", range(3))
def test_threads_that_submit_stop_and_drop_at_random_leave_nobody_waiting(pair, source, seed):
    worker = Worker(source, score=no_score)
    wrong: list[str] = []

    def visit(number: int) -> None:
        rng = random.Random(100 * seed + number)
        for _ in range(6):
            generation = Generation(some(pair, rng))
            worker.submit(generation, str(number))
            end, act = time.monotonic() + 30, rng.random()
            while generation.active:
                generation.drain()
                if act < 0.2 and generation.tokens:
                    generation.stop()
                if act > 0.9:
                    generation.drop()
                if time.monotonic() > end:
                    wrong.append("hangs")
                    return
                time.sleep(0.002)
            texts = {name: column.text for name, column in generation.columns.items()}
            if 0.2 <= act <= 0.9 and (generation.problem or texts != expected(pair, generation.request)):
                wrong.append(f"{generation.problem} {texts}")

    threads = [threading.Thread(target=visit, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    until(lambda: worker.length == 0)
    assert source.users == 0 or _soon(lambda: source.users == 0)


def _soon(condition, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_a_job_that_ended_is_told_once(source):
    generation = Generation(request(tokens=3))
    ends = []
    tell = generation.tell_anyway
    generation.tell_anyway = lambda event: (ends.append(event) if isinstance(event, Ended) else None, tell(event))
    Worker(source, score=no_score).submit(generation)
    finish(generation)
    assert len(ends) == 1
    assert generation.phase is Phase.DONE
    assert np.isfinite(generation.seconds)


def test_models_that_were_released_are_held_by_nobody() -> None:
    made = []

    def load(_tell):
        found = tiny.shared_pair()
        made.append(weakref.ref(found))
        return found

    shared = SharedPair("tiny", load)
    worker = Worker(shared, score=no_score)
    generation = Generation(request("Why?"))
    worker.submit(generation, "one")
    finish(generation)
    end = time.monotonic() + 20
    while not shared.release() or made[0]() is not None:
        assert time.monotonic() < end, "the pair is still held"
        gc.collect()
        time.sleep(0.02)
