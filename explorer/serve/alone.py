"""Jobs that are not written beside others: a trace, a neuron's reading, a list of prompts.

do_alone(pair, job, tools)          # tells the job what it finds; how it ended
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.serve.cores import leave_a_core, return_memory
from explorer.serve.job import Began, Ended, Job, Phase
from explorer.serve.neuron_reading import NeuronReading, read_neuron
from explorer.serve.prompt_list import Listed, PromptList, column_of, write_list
from explorer.serve.scoring import Score
from explorer.serve.tracing import Reading, Traced, TraceRequest, Tracing

if TYPE_CHECKING:
    from explorer.engine.traced import Trace
    from explorer.models.pair import Pair

Follow = Callable[["Pair", TraceRequest, Callable[[float], None]], "Trace"]
"""Traces an answer; its last argument is told the share that has been read."""


@dataclass(frozen=True)
class Tools:
    """What such jobs are done with.

    Attributes:
        score: scores answers.
        follow: traces an answer.
        give_way: lets others begin and write for so many seconds.
    """

    score: Score
    follow: Follow
    give_way: Callable[[float], None]


class _Left(Exception):
    """Ends a trace that nobody waits for any more."""


def do_alone(pair: "Pair", job: Job, tools: Tools) -> Ended:
    """Do all of a job.

    Raises:
        ExplorerError: what it asks for is not usable.
        TypeError: it is of another kind.
    """
    leave_a_core()
    if isinstance(job, Tracing):
        return _trace(pair, job, tools)
    if isinstance(job, NeuronReading):
        return _read(pair, job)
    if isinstance(job, PromptList):
        return _list(pair, job, tools)
    raise TypeError(f"a worker knows no job of type {type(job).__name__}")


def _trace(pair: "Pair", tracing: Tracing, tools: Tools) -> Ended:
    def tell(share: float) -> None:
        if tracing.halted:
            raise _Left
        tracing.tell(Reading(share))

    tracing.tell(Began(Phase.READING))
    try:
        tracing.tell(Traced(tools.follow(pair, tracing.request, tell)))
    except _Left:
        return Ended(notice=tracing.why_left())
    finally:
        return_memory()
    return Ended()


def _read(pair: "Pair", reading: NeuronReading) -> Ended:
    reading.tell(Began(Phase.READING))
    reading.tell(read_neuron(pair, reading.request))
    return Ended()


def _list(pair: "Pair", work: PromptList, tools: Tools) -> Ended:
    work.tell(Began(Phase.WRITING))
    start = begun = time.monotonic()
    for answered in write_list(pair, work.request):
        for place, answers in answered.items():
            texts = {name: answer.text for name, answer in answers.items()}
            scored = tools.score(pair, work.request.prompts[place], texts)
            columns = {}
            for name, answer in answers.items():
                scores = scored.costs.get(name), scored.refused.get(name), scored.rewards.get(name)
                columns[name] = column_of(answer, pair.stop_ids, scores)
            if not work.tell(Listed(place, columns)) or work.halted:
                return Ended(notice=work.why_left())
        tools.give_way(time.monotonic() - begun)
        begun = time.monotonic()
        if begun - start > work.limits.running:
            return Ended(notice=work.why_cut(work.limits.running))
    return Ended()
