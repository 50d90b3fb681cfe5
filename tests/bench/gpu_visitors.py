"""Eight visitors at one pair in the shape of a 7B model, through the queue that the app uses, beside a lone one."""

import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from explorer.engine.options import Sampling
from explorer.neurons.sets import NeuronSet
from explorer.serve.generation import Request, Scored
from explorer.serve.loading import SharedPair
from explorer.serve.worker import Worker
from tests.bench.generation import Undrafted
from tests.bench.gpu_place import Place
from tests.bench.gpu_speed import TOKENS, random_pair
from tests.bench.measure import Line, never_ending
from tests.bench.visitors import ask

if TYPE_CHECKING:
    from explorer.models.pair import Pair

SHAPE = "Llama-2-7B"
VISITORS = 8
APART = 0.2
"""Seconds between two visitors' clicks: who clicks at once reads the prompts at once."""


def visitors(place: Place) -> Iterator[Line]:
    """Lines for greedy and for sampled answers, without scores: those are another model's work."""
    pair = random_pair(place, SHAPE)
    with never_ending(pair):
        for name, sampling in (("greedy", None), ("sampled", Sampling(0.8, 0.95))):
            worker = Worker(SharedPair(f"shape-{name}", lambda _tell: pair), score=_no_score)
            asked = [
                Request(
                    f"Explain how a lock works, step by step, to visitor {i} of a museum.",
                    NeuronSet.random(pair, pair.total_neurons // 100, i),
                    TOKENS,
                    sampling=sampling,
                    draft=Undrafted(),
                )
                for i in range(2 * VISITORS + 3)
            ]
            _wait(worker, asked[0], "first")
            alone = statistics.median(_wait(worker, one, "lone") for one in asked[1:3])
            waits: dict[int, float] = {}

            def visit(number: int, worker: Worker = worker, asked: list[Request] = asked, waits=waits) -> None:
                time.sleep(number * APART)
                for turn in range(2):
                    which = 3 + turn * VISITORS + number
                    waits[which] = _wait(worker, asked[which], str(number))

            threads = [threading.Thread(target=visit, args=(i,)) for i in range(VISITORS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            together = statistics.median(waits.values())
            yield Line(
                f"{SHAPE}: {VISITORS} visitors, three columns of {TOKENS} {name} tokens, median wait",
                f"{together:.2f} s",
                f"{alone:.2f} s, a lone visitor",
                together / alone,
                "≤ 2",
                together / alone <= 2 if place.device.type == "cuda" else None,
            )


def _no_score(_pair: "Pair", _prompt: str, _texts: Mapping[str, str]) -> Scored:
    return Scored({}, {})


def _wait(worker: Worker, request: Request, visitor: str) -> float:
    """Seconds until the last word of a request's answers.

    Raises:
        RuntimeError: an answer is not whole.
    """
    _, seconds, generation = ask(worker, request, visitor, pause=0.005)
    if generation.problem or generation.notice:
        raise RuntimeError(generation.problem or generation.notice)
    return seconds
