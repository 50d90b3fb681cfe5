"""The thread that generates and traces: one for each pair, many answers side by side, fair between visitors.

    worker = Worker(SharedPair("demo"))
    generation = Generation(Request(prompt, neurons, 64))
    worker.submit(generation, visitor)  # returns at once
    generation.drain()                  # the page, again and again

No thread here calls Streamlit.
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from explorer.errors import ExplorerError
from explorer.public import check_size
from explorer.serve.events import log_event, logs_prompts
from explorer.serve.generation import LIVE_SCORERS, Foreseen, Generation, Guard, Request, Scored
from explorer.serve.job import Began, Ended, Job, Loading, Phase, Place
from explorer.serve.line import Entry, Line, QueueLimits
from explorer.serve.loading import SharedPair
from explorer.serve.neuron_reading import NeuronReading, read_neuron
from explorer.serve.pace import Pace
from explorer.serve.prompt_list import Listed, PromptList, column_of, write_list
from explorer.serve.strip import Strip
from explorer.serve.tracing import Reading, Traced, TraceRequest, Tracing, trace_request
from explorer.serve.writers import JointWriters, Pieces, Stream, StreamWriters, Writers, waves_of

if TYPE_CHECKING:
    from explorer.engine.patching import Step
    from explorer.engine.traced import Trace
    from explorer.models.pair import Pair

LOG = logging.getLogger(__name__)

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
        sampling=request.sampling,
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


@dataclass
class _Working:
    """A job at work.

    Attributes:
        entry: the job, and whose it is.
        texts: what its columns have written, by column and sample.
        began: when (`time.monotonic`).
        beside: how many jobs were written at once, itself included, at most.
        tokens: that it has written.
    """

    entry: Entry
    texts: dict[Any, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    beside: int = 1
    tokens: int = 0


class Worker:
    """Does the work on one pair; its thread lives while there is any.

    Answers are written side by side: a job joins those that are being written as soon as there is room for it. A trace
    or a reading is done between two steps of them.

    Attributes:
        source: gives the pair.
        pace: how fast it writes.
        outcomes: how many jobs are over, by kind and outcome ("done", "cut", "stopped", "left", "failed").
        tokens: written so far, all columns together.
    """

    def __init__(
        self,
        source: SharedPair,
        stream: Stream | None = None,
        score: Score = score_answers,
        follow: Follow = trace_request,
        limits: QueueLimits | None = None,
    ) -> None:
        """A worker with an empty queue.

        Args:
            source: gives the pair, loaded when the first job needs it.
            stream: what writes, one job at a time; the engine's joint batch when left out.
            score, follow: what scores and what traces; tests put their own here.
            limits: how much may wait.
        """
        self.source = source
        self._writers: Writers = JointWriters() if stream is None else StreamWriters(stream)
        self._score, self._follow = score, follow
        self._lock = threading.Lock()
        self._line = Line(limits)
        self._working: list[_Working] = []
        self._thread: threading.Thread | None = None
        self.pace = Pace()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.tokens = 0

    # -- for pages -------------------------------------------------------------------------------

    def submit(self, job: Job, visitor: str = "") -> None:
        """Put a job into the queue.

        Raises:
            ExplorerError: the queue has as much of this visitor's, or of all, as it may, or a public server takes no
                request of this size.
        """
        if isinstance(job, Tracing):
            said = "".join(text for _, text in job.request.before)
            check_size(len(job.request.answer), [said + job.request.prompt])
        elif isinstance(job, PromptList):
            check_size(job.request.max_new_tokens, job.request.prompts)
        elif isinstance(job, Generation):
            asked = job.request
            check_size(asked.max_new_tokens, [max(map(asked.said_in, asked.columns), key=len)], len(job.answers))
        elif isinstance(job, Strip | NeuronReading):
            before = job.request.before if isinstance(job, Strip) else ()
            said = "".join(text for _, text in before)
            check_size(job.request.max_new_tokens, [said + job.request.prompt])
        with self._lock:
            self._line.add(job, visitor, self._at_work())
            self._tell_places()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"patch-{self.source.name}", daemon=True)
                self._thread.start()

    def ahead_of(self, job: Job) -> int:
        """How many jobs come before this one; 0 where it is its turn, or it is over."""
        return self.place_of(job)[0]

    def place_of(self, job: Job) -> tuple[int, float | None]:
        """How many jobs come before this one, and in how many seconds it begins at the latest; None where unknown."""
        with self._lock:
            before = self._line.before(job, self._at_work())
            if before is None:
                return 0, 0.0
            return before + self._is_full(job), self.pace.wait(before, [w.entry.job for w in self._working])

    @property
    def length(self) -> int:
        """How many jobs wait or are at work."""
        with self._lock:
            return len(self._line.entries) + len(self._working)

    def counts(self) -> tuple[int, int]:
        """How many jobs wait, and how many are at work."""
        with self._lock:
            return len(self._line.entries), len(self._working)

    # -- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        with self.source.used():
            while self._takes_more():
                self._admit()
                self._step()

    def _takes_more(self) -> bool:
        with self._lock:
            if not self._line.entries and not self._working:
                self._thread = None
                return False
            return True

    def _at_work(self) -> Counter[str]:
        return Counter(working.entry.visitor for working in self._working)

    def _is_full(self, job: Job) -> bool:
        """Whether a job could not begin now, were it the next; the lock is held."""
        alone = any(not isinstance(w.entry.job, Generation | Strip) for w in self._working)
        fits = isinstance(job, Generation | Strip) and self._writers.room_for(job)
        return bool(self._working) and (alone or not self.source.ready or not fits)

    def _tell_places(self) -> None:
        """Tell those that wait how many come before them, where that has changed; the lock is held."""
        for place, entry in enumerate(self._line.order(self._at_work())):
            ahead = place + self._is_full(entry.job)
            if entry.told != ahead:
                entry.told = ahead
                entry.job.tell(Place(ahead))

    def _admit(self, beside: bool = False) -> None:
        """Let the next job begin, if there is room for it; with `beside`, only one that writes beside others."""
        with self._lock:
            entry = self._line.next(self._at_work())
            if entry is None:
                return
            job = entry.job
            if isinstance(job, Generation | Strip):
                if not job.halted and not self._writers.room_for(job):
                    return
            elif beside:
                return
            working = _Working(entry)
            self._line.take(entry)
            self._working.append(working)
            self._tell_places()
        with self._ends(working) as ended:
            ended.append(self._begin(working))

    @contextmanager
    def _ends(self, working: _Working) -> Iterator[list[Ended | None]]:
        """What is put into the list is how the job ended, None if it has not; a failure ends it with one sentence."""
        job, how = working.entry.job, cast(list[Ended | None], [])
        try:
            yield how
        except ExplorerError as known:
            how.append(Ended(problem=str(known)))
        except Exception:  # one job's failure must not end the queue
            LOG.exception("a %s failed", job.what)
            how.append(Ended(problem=f"The {job.what} failed; the server's log says why."))
        ended = how[-1]
        if ended is None:
            return
        if isinstance(job, Generation | Strip):
            self._writers.leave(job)
        with self._lock:
            if working in self._working:
                self._working.remove(working)
            self._tell_places()
        job.tell_anyway(ended)
        self._note(working, ended)

    def _note(self, working: _Working, ended: Ended) -> None:
        """Count and log a job that is over; nothing of what was typed or written, unless the operator asks for it."""
        job = working.entry.job
        outcome = "failed" if ended.problem else job.why_over() or ("cut" if ended.notice else "done")
        self.outcomes[job.what, outcome] += 1
        log_event(
            "job",
            kind=job.what,
            outcome=outcome,
            pair=self.source.name,
            waited=round(working.began - working.entry.since, 3),
            seconds=round(time.monotonic() - working.began, 3),
            tokens=working.tokens,
            beside=working.beside,
            **({"prompt": vars(job)["request"].prompt} if logs_prompts() else {}),
        )

    def _begin(self, working: _Working) -> Ended | None:
        """Begin a job, and do all of it where it does not write beside others; how it ended, None where it goes on."""
        job = working.entry.job
        pair = self._loaded(job)
        if pair is None:
            return Ended(notice=job.why_left())
        working.began = time.monotonic()
        if isinstance(job, Tracing):
            return self._trace(pair, job)
        if isinstance(job, NeuronReading):
            return self._read(pair, job)
        if isinstance(job, PromptList):
            return self._list(pair, job)
        if isinstance(job, Generation | Strip):
            return self._write(pair, job, working)
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
        finally:
            _return_memory()
        return Ended()

    def _read(self, pair: "Pair", reading: NeuronReading) -> Ended:
        reading.tell(Began(Phase.READING))
        _leave_a_core()
        reading.tell(read_neuron(pair, reading.request))
        return Ended()

    def _write(self, pair: "Pair", job: Generation | Strip, working: _Working) -> Ended | None:
        """Let a job write its first tokens, beside those that are being written."""
        alone = isinstance(job, Generation) and not job.request.before and not job.request.own
        if isinstance(job, Generation) and job.request.guard is not None and alone:
            # Nothing was said before: the guard was fitted on prompts alone.
            job.tell(Foreseen(foresee_harm(pair, job.request.prompt, job.request.guard)))
        job.tell(Began(Phase.WRITING))
        _leave_a_core()
        pieces, ended = self._writers.begin(pair, job)
        for one in self._working:
            one.beside = max(one.beside, len(self._working))
        return self._take(working, pieces, ended)

    def _step(self) -> None:
        """One step of all that is being written; those that ended with it are scored."""
        writing = {w.entry.job.id: w for w in self._working if isinstance(w.entry.job, Generation | Strip)}
        if not writing:
            return
        try:
            written = self._writers.step()
        except Exception as problem:  # the models failed: for all that are written
            self._writers.close()
            for working in writing.values():
                with self._ends(working):
                    raise problem
            return
        self.pace.stepped(len(written))
        for job, pieces, ended in written:
            working = writing[job.id]
            with self._ends(working) as how:
                how.append(self._take(working, pieces, ended))

    def _take(self, working: _Working, pieces: Pieces, ended: bool) -> Ended | None:
        """Tell what a step has written; how the job ended, None where it goes on."""
        job = working.entry.job
        assert isinstance(job, Generation | Strip)
        seconds = time.monotonic() - working.began
        limit = job.limits.running * working.beside * waves_of(job)
        for event in job.told_as(cast(Any, pieces), seconds):  # by the names that the job itself has given
            if job.unwanted or not job.tell(event):
                return self._finish(working, job.why_left())
            for name, its in event.pieces.items():
                said = its if isinstance(its, list) else [its]
                for piece in said:
                    at = (name, piece.sample)
                    working.texts[at] = working.texts.get(at, "") + piece.text
                working.tokens += len(said)
                self.tokens += len(said)
        if job.halted:
            return self._finish(working, job.why_left())
        if not ended and seconds > limit:
            return self._finish(working, f"The answers were cut after {limit:.0f} s; ask for fewer tokens.")
        return self._finish(working, "") if ended else None

    def _finish(self, working: _Working, notice: str) -> Ended:
        """Score what a job has written, which is over."""
        job = working.entry.job
        assert isinstance(job, Generation | Strip)
        self._writers.leave(job)
        self.pace.ended(time.monotonic() - working.began)
        if isinstance(job, Generation):
            for sample in range(job.request.samples):
                texts = {name: working.texts.get((name, sample), "") for name in job.columns}
                if any(texts.values()) and not job.unwanted:
                    job.tell_anyway(Began(Phase.SCORING))
                    scored = self._score(self.source.result(), job.request.prompt, texts)
                    job.tell_anyway(replace(scored, sample=sample))
        _return_memory()
        return Ended(notice=notice)

    def _list(self, pair: "Pair", work: PromptList) -> Ended:
        work.tell(Began(Phase.WRITING))
        _leave_a_core()
        start = begun = time.monotonic()
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
            self._give_way(time.monotonic() - begun)
            begun = time.monotonic()
            if begun - start > work.limits.running:
                return Ended(notice=f"The list was cut after {work.limits.running:.0f} s; shorten it.")
        return Ended()

    def _give_way(self, seconds: float) -> None:
        """Let others begin and write for as long as a part of a long job took, so that it holds nobody up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._admit(beside=True)
            if not any(isinstance(working.entry.job, Generation | Strip) for working in self._working):
                return
            self._step()

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
