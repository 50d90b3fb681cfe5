"""Film strips: every frame is the answer that patching that share alone gives; the flip said in words, either way."""

import time

import numpy as np
import pytest

from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.report.film import flip_sentence, flips_at
from explorer.serve.generation import End
from explorer.serve.loading import SharedPair
from explorer.serve.strip import ALIGNED, UNPATCHED, Strip, StripRequest
from explorer.serve.worker import Worker
from tests import tiny


@pytest.fixture(scope="module")
def pair():
    return tiny.shared_pair()


def _finished(worker: Worker, strip: Strip, seconds: float = 60.0) -> Strip:
    worker.submit(strip)
    end = time.monotonic() + seconds
    while strip.active:
        assert time.monotonic() < end
        strip.drain()
        time.sleep(0.01)
    return strip


@pytest.mark.parametrize("direction", ["restore", "break"])
def test_every_frame_is_what_patching_that_share_gives(pair, direction) -> None:
    sets = {fraction: NeuronSet.random(pair, k, seed=2) for fraction, k in ((0.01, 5), (0.1, 30), (1.0, 60))}
    asked = StripRequest("Why?", sets, 10, direction, strength=0.5)
    strip = _finished(Worker(SharedPair("tiny", lambda _tell: pair)), Strip(asked))
    assert strip.problem == ""
    turned = pair.reversed() if direction == "break" else pair
    want = sweep(turned, ["Why?"], Columns([Patch(ns, 0.5) for ns in sets.values()]), Decoding(10))
    assert strip.frames[UNPATCHED].text == want.unpatched[0].text
    assert strip.frames[ALIGNED].text == want.aligned[0].text
    for fraction, answers in zip(sets, want.patched, strict=True):
        frame = strip.frames[fraction]
        assert frame.ids == list(answers[0].token_ids)
        assert frame.text == answers[0].text
        assert frame.end is (End.TOKEN if frame.ids[-1] in pair.stop_ids else End.LIMIT)
    assert strip.share <= 1


def test_a_strip_that_cannot_be_written_says_why(pair) -> None:
    other = NeuronSet(np.array([0]), np.array([1]), pair.n_layers + 1, 8, "of another model")
    strip = _finished(Worker(SharedPair("tiny", lambda _tell: pair)), Strip(StripRequest("Why?", {0.1: other}, 8)))
    assert "neurons; this pair has" in strip.problem


def test_a_dropped_strip_ends(pair) -> None:
    sets = {0.1: NeuronSet.random(pair, 30)}
    strip, worker = Strip(StripRequest("Why?", sets, 64)), Worker(SharedPair("tiny", lambda _tell: pair))
    worker.submit(strip)
    strip.drop()
    assert not strip.active
    after = _finished(worker, Strip(StripRequest("Why?", sets, 4)))
    assert after.frames[UNPATCHED].tokens


def test_the_share_at_which_the_verdict_flips_is_named() -> None:
    fractions, sizes = (0.001, 0.01, 0.1), (4, 40, 400)
    outcomes = ["answered", "answered", "refused", "refused"]
    assert flips_at(outcomes) == 2
    said = flip_sentence(outcomes, fractions, sizes, "refused", "restore").replace("\u00a0", " ")
    assert said == "M1 alone answers; from **1 %** on (40 neurons) the patched model refuses; M2 refuses."
    back = flip_sentence([*outcomes[:3], "answered"], fractions, sizes, "refused", "restore").replace("\u00a0", " ")
    assert back == (
        "M1 alone answers. The verdict flips 2 times: the patched model answers at **0.1 %**, refuses at **1 %** and "
        "answers at **10 %**; M2 refuses."
    )
    often = ["answered", "refused", "refused", "degenerate", "refused"]
    said = flip_sentence(often, (0.001, 0.01, 0.1, 1.0), (4, 40, 400, 4000), "refused", "restore")
    assert said.replace("\u00a0", " ") == (
        "M1 alone answers. The verdict flips 3 times: the patched model refuses from **0.1 %** to **1 %**, writes "
        "nothing that can be read at **10 %** and refuses at **100 %**; M2 refuses."
    )
    never = flip_sentence(["refused"] * 4, fractions, sizes, "answered", "break")
    assert never == "M2 alone refuses, and so it does at every share patched; M1 answers."
