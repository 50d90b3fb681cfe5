"""Traces in the queue of generations: right, cancelled at once, and one sentence where they fail."""

import threading
import time

import numpy as np
import pytest

from explorer.engine.token_margin import TokenMargin
from explorer.engine.trace import trace
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.serve.generation import Generation, Request
from explorer.serve.job import Phase
from explorer.serve.loading import SharedPair
from explorer.serve.tracing import TraceRequest, Tracing
from explorer.serve.worker import Worker
from explorer.serve.writers import stream_request
from tests import tiny
from tests.unit.test_worker import no_score


@pytest.fixture(scope="module")
def pair():
    return tiny.shared_pair()


@pytest.fixture
def source(pair):
    return SharedPair("tiny", lambda _tell: pair)


def finish(*jobs, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while any(job.active for job in jobs):
        assert time.monotonic() < end
        for job in jobs:
            job.drain()
        time.sleep(0.01)


def test_a_written_answer_is_traced_as_the_engine_traces_it(pair, source) -> None:
    ns, worker = NeuronSet.random(pair, 30, seed=1), Worker(source, score=no_score)
    generation = Generation(Request("Why?", ns, 12, direction="break", strength=0.5, positions=4))
    worker.submit(generation)
    finish(generation)
    column, patch = generation.columns["patched"], Patch(ns, 0.5, 4)
    assert len(column.ids) == column.tokens
    margin = TokenMargin(np.array([3, 4]), np.array([1.0, -1.0]))
    tracing = Tracing(TraceRequest("Why?", patch, tuple(column.ids), direction="break", margin=margin))
    worker.submit(tracing)
    finish(tracing)
    assert tracing.problem == ""
    want = trace(pair.reversed(), "Why?", column.ids, patch)
    assert np.array_equal(tracing.result.kl_to_m2, want.kl_to_m2)
    assert tracing.result.margin.shape == (3, len(column.ids))
    by_text = Tracing(TraceRequest("Why?", patch, (), "abc", ended=True))
    worker.submit(by_text)
    finish(by_text)
    assert by_text.result.tokens.tolist()[-1] in pair.stop_ids
    assert pair.decode(by_text.result.tokens.tolist()) == "abc"


def test_a_trace_waits_its_turn_and_fails_in_one_sentence(pair, source) -> None:
    go = threading.Event()

    def slow(pair, request):
        go.wait(20)
        yield from stream_request(pair, request)

    worker = Worker(source, slow, no_score)
    patch = Patch(NeuronSet.random(pair, 3, seed=1))
    generation, tracing = Generation(Request("Why?", patch.neurons, 2)), Tracing(TraceRequest("Hi", patch))
    worker.submit(generation)
    worker.submit(tracing)
    assert worker.ahead_of(tracing) == 1
    assert tracing.phase is Phase.WAITING
    go.set()
    finish(generation, tracing)
    assert tracing.problem == "The answer has no tokens; there is nothing to trace."


def test_a_trace_that_nobody_waits_for_ends(pair, source) -> None:
    shares: list[float] = []
    begun = threading.Event()

    def follow(_pair, _request, tell):
        begun.set()
        while True:
            tell(0.5)
            shares.append(0.5)
            time.sleep(0.01)

    worker = Worker(source, score=no_score, follow=follow)
    patch = Patch(NeuronSet.random(pair, 3, seed=1))
    dropped, after = Tracing(TraceRequest("Hi", patch, (1,))), Generation(Request("Hi", patch.neurons, 2))
    worker.submit(dropped)
    assert begun.wait(20)
    dropped.drop()
    worker.submit(after)
    finish(after)  # the queue goes on
    count = len(shares)
    time.sleep(0.1)
    assert len(shares) == count
    assert dropped.result is None


def test_a_failure_is_one_sentence(source) -> None:
    def fail(_pair, _request, _tell):
        raise RuntimeError("no")

    worker = Worker(source, follow=fail)
    tracing = Tracing(TraceRequest("Hi", Patch(NeuronSet.random(tiny.shared_pair(), 3, seed=1)), (1,)))
    worker.submit(tracing)
    finish(tracing)
    assert tracing.problem == "The trace failed; the server's log says why."
