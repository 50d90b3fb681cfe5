"""The thread that generates and traces: one for each pair, one job at a time, first come, first served.

    worker = Worker(SharedPair("demo"))
    generation = Generation(Request(prompt, neurons, 64))
    worker.submit(generation)           # returns at once
    generation.drain()                  # the page, again and again

No thread here calls Streamlit.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.serve.generation import (
    LIVE_SCORERS,
    SHOWN,
    Foreseen,
    Generation,
    Guard,
    Piece,
    Request,
    Scored,
    Wrote,
)
from explorer.serve.job import Began, Ended, Job, Loading, Phase
from explorer.serve.loading import SharedPair
from explorer.serve.prompt_list import Listed, PromptList, column_of, write_list
from explorer.serve.strip import Grew, Strip, write_strip
from explorer.serve.tracing import Reading, Traced, TraceRequest, Tracing, trace_request

if TYPE_CHECKING:
    from explorer.engine.patching import Step, Token
    from explorer.engine.traced import Trace
    from explorer.models.pair import Pair

LOG = logging.getLogger(__name__)

Stream = Callable[["Pair", Request], Iterator["Step"]]
Score = Callable[["Pair", str, Mapping[str, str]], Scored]
Follow = Callable[["Pair", TraceRequest, Callable[[float], None]], "Trace"]

_POLL = 0.05
"""Seconds between two looks at whether a generation that waits for the models was stopped."""


def stream_request(pair: "Pair", request: Request) -> "Iterator[Step]":
    """The steps of a request, by the engine."""
    from explorer.engine.patching import stream

    _leave_a_core()
    return stream(
        pair.reversed() if request.backwards else pair,
        request.prompt,
        request.neurons,
        request.max_new_tokens,
        request.draft,
        strength=request.strength,
        positions=request.positions,
        control=request.control,
        before=request.before,
    )


def _leave_a_core() -> None:
    """Compute on all cores but one: the pages are drawn on it, which would else wait until an answer has ended.

    A setting of the thread that calls it, so the thread that generates does.
    """
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))


def _return_memory() -> None:
    """Give back what a generation held: the answers of four sessions leave 50 MB that nobody uses."""
    from explorer.engine.products import return_freed_memory  # imports torch

    return_freed_memory()


def score_answers(pair: "Pair", prompt: str, texts: Mapping[str, str]) -> Scored:
    """Refusal, cost and reward of each answer that has any text; what cannot be had is explained, not raised."""
    from explorer.scoring.registry import load_scorer

    names = [name for name, text in texts.items() if text.strip()]
    prompts, answers = [prompt] * len(names), [texts[name] for name in names]
    refused = load_scorer("refusal").score(prompts, answers)
    scores: dict[str, dict[str, float | None]] = {score: {} for score in LIVE_SCORERS}
    missing: dict[str, list[str]] = {}  # by the reason: both often lack the same thing
    for score, scorer in LIVE_SCORERS.items():
        try:
            found = load_scorer(scorer, pair).score(prompts, answers)
            scores[score] = dict(zip(names, map(float, found), strict=True))
        except ExplorerError as known:
            missing.setdefault(str(known), []).append(score)
        except Exception:  # the answers are worth showing without their scores
            LOG.exception("scoring failed")
            missing.setdefault("the scorer failed; the server's log says why.", []).append(score)
    note = " ".join(f"{' and '.join(which).capitalize()} not available: {why}" for why, which in missing.items())
    refusals = dict(zip(names, (bool(r) for r in refused), strict=True))
    return Scored(scores["cost"], refusals, note, scores["reward"])


def foresee_harm(pair: "Pair", prompt: str, guard: Guard) -> float:
    """How likely M1's answer is harmful, 0 to 1, from its neurons at the last prompt token."""
    from explorer.engine.given_text import last_prompt_activations
    from explorer.studies.classifier import Classifier

    activations = last_prompt_activations(pair, [prompt], guard.neurons)
    return float(Classifier(guard.weight, guard.bias).probability(activations)[0])


class _Left(Exception):
    """Ends a trace that nobody waits for any more."""


class Worker:
    """Runs the jobs of one pair, one after the other; its thread lives while there is work."""

    def __init__(
        self,
        source: SharedPair,
        stream: Stream = stream_request,
        score: Score = score_answers,
        follow: Follow = trace_request,
    ) -> None:
        """A worker with an empty queue.

        Args:
            source: gives the pair, loaded when the first job needs it.
            stream, score, follow: what writes, what scores and what traces; tests put their own here.
        """
        self.source = source
        self._stream, self._score, self._follow = stream, score, follow
        self._lock = threading.Lock()
        self._line: deque[Job] = deque()
        self._running: Job | None = None
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue."""
        with self._lock:
            self._line.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"patch-{self.source.name}", daemon=True)
                self._thread.start()

    def ahead_of(self, job: Job) -> int:
        """How many jobs come before this one; 0 where it is its turn, or it is over."""
        with self._lock:
            if job not in self._line:
                return 0
            before = list(self._line)[: self._line.index(job)]
            return sum(not other.halted for other in before) + (self._running is not None)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._line:
                    self._running = self._thread = None
                    return
                job = self._running = self._line.popleft()
            ended = Ended()
            try:
                ended = self._run(job)
                _return_memory()
            except ExplorerError as known:
                ended = Ended(problem=str(known))
            except Exception:  # one job's failure must not end the queue
                LOG.exception("a %s failed", job.what)
                ended = Ended(problem=f"The {job.what} failed; the server's log says why.")
            finally:
                job.tell_anyway(ended)

    def _run(self, job: Job) -> Ended:
        pair = self._loaded(job)
        if pair is None:
            return Ended(notice=job.why_left())
        if isinstance(job, Tracing):
            return self._trace(pair, job)
        if isinstance(job, Generation):
            return self._generate(pair, job)
        if isinstance(job, Strip):
            return self._film(pair, job)
        if isinstance(job, PromptList):
            return self._list(pair, job)
        raise TypeError(f"a worker knows no job of type {type(job).__name__}")

    def _trace(self, pair: "Pair", tracing: Tracing) -> Ended:
        def tell(share: float) -> None:
            if tracing.halted:
                raise _Left
            tracing.tell(Reading(share))

        tracing.tell(Began(Phase.READING))
        _leave_a_core()
        try:
            tracing.tell(Traced(self._follow(pair, tracing.request, tell)))
        except _Left:
            return Ended(notice=tracing.why_left())
        return Ended()

    def _film(self, pair: "Pair", strip: Strip) -> Ended:
        strip.tell(Began(Phase.WRITING))
        _leave_a_core()
        start = time.monotonic()
        for pieces in write_strip(pair, strip.request):
            if not strip.tell(Grew(pieces)) or strip.halted:
                return Ended(notice=strip.why_left())
            if time.monotonic() - start > strip.limits.running:
                return Ended(notice=f"The answers were cut after {strip.limits.running:.0f} s; ask for fewer tokens.")
        return Ended()

    def _list(self, pair: "Pair", work: PromptList) -> Ended:
        work.tell(Began(Phase.WRITING))
        _leave_a_core()
        start = time.monotonic()
        for answered in write_list(pair, work.request):
            for place, answers in answered.items():
                texts = {name: answer.text for name, answer in answers.items()}
                scored = self._score(pair, work.request.prompts[place], texts)
                columns = {}
                for name, answer in answers.items():
                    scores = scored.costs.get(name), scored.refused.get(name), scored.rewards.get(name)
                    columns[name] = column_of(answer, pair.stop_ids, scores)
                if not work.tell(Listed(place, columns)) or work.halted:
                    return Ended(notice=work.why_left())
            if time.monotonic() - start > work.limits.running:
                return Ended(notice=f"The list was cut after {work.limits.running:.0f} s; shorten it.")
        return Ended()

    def _generate(self, pair: "Pair", generation: Generation) -> Ended:
        asked = generation.request
        if asked.guard is not None and not asked.before:  # it was fitted on prompts alone
            generation.tell(Foreseen(foresee_harm(pair, asked.prompt, asked.guard)))
        texts = dict.fromkeys(asked.columns, "")
        notice = self._write(pair, generation, texts)
        if any(texts.values()) and not generation.unwanted:
            generation.tell_anyway(Began(Phase.SCORING))
            generation.tell_anyway(self._score(pair, generation.request.prompt, texts))
        return Ended(notice=notice)

    def _loaded(self, job: Job) -> "Pair | None":
        """The pair; None where the job was stopped before it was there."""
        if job.halted:
            return None
        if not self.source.ready:
            job.tell(Began(Phase.LOADING))
            self.source.start()
            told = None
            while not self.source.wait(_POLL):
                if job.halted:
                    return None
                if told != self.source.progress:
                    told = self.source.progress
                    job.tell(Loading(*told))
        return None if job.halted else self.source.result()

    def _write(self, pair: "Pair", generation: Generation, texts: dict[str, str]) -> str:
        """Stream the answers into `texts`; why it was cut short, or ""."""
        generation.tell(Began(Phase.WRITING))
        limit = generation.limits.running
        start = time.monotonic()
        for step in self._stream(pair, generation.request):
            seconds = time.monotonic() - start
            pieces = _pieces(step, pair.stop_ids)
            if generation.unwanted or not generation.tell(Wrote(pieces, seconds)):
                return generation.why_left()
            for name, piece in pieces.items():
                texts[name] += piece.text
            if seconds > limit:
                return f"The answers were cut after {limit:.0f} s; ask for fewer tokens."
        return ""


def _pieces(step: "Step", stop_ids: frozenset[int]) -> dict[str, Piece]:
    tokens: dict[str, Token | None] = {name: getattr(step, name) for name in SHOWN}
    written = {name: token for name, token in tokens.items() if token is not None}
    return {name: Piece(token.text, token.id in stop_ids, token.id) for name, token in written.items()}
