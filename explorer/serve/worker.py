"""The thread that generates and traces: one for each pair, many answers side by side, fair between visitors.

    worker = Worker(SharedPair("demo"))
    generation = Generation(Request(prompt, neurons, 64))
    worker.submit(generation, visitor)  # returns at once
    generation.drain()                  # the page, again and again

No thread here calls Streamlit.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from explorer.errors import ExplorerError
from explorer.serve.alone import Follow, Tools, do_alone
from explorer.serve.cores import leave_a_core, return_memory
from explorer.serve.events import log_event, logs_prompts
from explorer.serve.generation import Foreseen, Generation
from explorer.serve.job import Began, Ended, Job, Loading, Phase, Place
from explorer.serve.job_size import check_job_size
from explorer.serve.line import Entry, Line, QueueLimits
from explorer.serve.loading import SharedPair
from explorer.serve.once import ForeseenOnce, ScoredOnce
from explorer.serve.pace import Pace
from explorer.serve.scoring import Beside, Score
from explorer.serve.strip import Strip
from explorer.serve.tracing import trace_request
from explorer.serve.writers import JointWriters, Pieces, Stream, StreamWriters, Writers, waves_of

if TYPE_CHECKING:
    from explorer.models.pair import Pair

LOG = logging.getLogger(__name__)

_POLL = 0.05
"""Seconds between two looks at whether a generation that waits for the models was stopped."""


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

    @property
    def answers(self) -> list[dict[str, str]]:
        """The texts of a generation by column, sample by sample."""
        job = self.entry.job
        assert isinstance(job, Generation)
        return [
            {name: self.texts.get((name, sample), "") for name in job.columns} for sample in range(job.request.samples)
        ]


class Worker:
    """Does the work on one pair; its thread lives while there is any.

    Answers are written side by side: a job joins those that are being written as soon as there is room for it, and is
    scored in a second thread when it is written. A trace or a reading is done between two steps of them.

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
        score: Score | None = None,
        follow: Follow = trace_request,
        limits: QueueLimits | None = None,
    ) -> None:
        """A worker with an empty queue.

        Args:
            source: gives the pair, loaded when the first job needs it.
            stream: what writes, one job at a time; the engine's joint batch when left out.
            score, follow: what scores (`ScoredOnce` when left out) and what traces; tests put their own here.
            limits: how much may wait.
        """
        self.source = source
        self._writers: Writers = JointWriters() if stream is None else StreamWriters(stream)
        self._score = score or ScoredOnce()
        self._foresee = ForeseenOnce()
        self._alone = Tools(self._score, follow, self._give_way)
        self._lock = threading.Lock()
        self._line = Line(limits)
        self._working: list[_Working] = []
        self._scoring: list[_Working] = []  # those that have been written
        self._beside = Beside(f"score-{source.name}")
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
        check_job_size(job)
        with self._lock:
            job.beside = 1 + len(self._line.entries) + len(self._working)
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
            return len(self._line.entries) + len(self._working) + len(self._scoring)

    def counts(self) -> tuple[int, int]:
        """How many jobs wait, and how many are at work."""
        with self._lock:
            return len(self._line.entries), len(self._working) + len(self._scoring)

    # -- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        with self.source.used():
            while self._takes_more():
                self._admit()
                self._step()

    def _takes_more(self) -> bool:
        with self._lock:
            if not self._line.entries and not self._working:
                self._writers.close()  # what it has of the pair would outlive it
                self._thread = None
                return False
            return True

    def _at_work(self) -> Counter[str]:
        return Counter(working.entry.visitor for working in [*self._working, *self._scoring])

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
        if working not in self._scoring and isinstance(job, Generation | Strip):
            self._writers.leave(job)
        with self._lock:
            for group in (self._working, self._scoring):
                if working in group:
                    group.remove(working)
            self._tell_places()
            self._note(working, ended)
        job.tell_anyway(ended)

    def _note(self, working: _Working, ended: Ended) -> None:
        """Count and log a job that is over; nothing of what was typed or written, unless the operator asks for it.

        The lock is held.
        """
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
        if isinstance(job, Generation | Strip):
            return self._write(pair, job, working)
        return do_alone(pair, job, self._alone)

    def _write(self, pair: "Pair", job: Generation | Strip, working: _Working) -> Ended | None:
        """Let a job write its first tokens, beside those that are being written."""
        alone = isinstance(job, Generation) and not job.request.before and not job.request.own
        if isinstance(job, Generation) and job.request.guard is not None and alone:
            # Nothing was said before: the guard was fitted on prompts alone.
            job.tell(Foreseen(self._foresee(pair, job.request.prompt, job.request.guard)))
        job.tell(Began(Phase.WRITING))
        leave_a_core()
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
                new = sum(not piece.known for piece in said)
                working.tokens += new
                self.tokens += new
        if job.halted:
            return self._finish(working, job.why_left())
        if not ended and seconds > limit:
            return self._finish(working, job.why_cut(limit))
        return self._finish(working, "") if ended else None

    def _finish(self, working: _Working, notice: str) -> Ended | None:
        """What a job writes is over; how the job ended, None where its answers are to be scored."""
        job = working.entry.job
        assert isinstance(job, Generation | Strip)
        self._writers.leave(job)
        self.pace.ended(time.monotonic() - working.began)
        if isinstance(job, Generation) and any(working.texts.values()) and not job.unwanted:
            job.tell_anyway(Began(Phase.SCORING))
            with self._lock:
                self._working.remove(working)
                self._scoring.append(working)
                self._tell_places()
            pair = self.source.result()
            if all(self._knows_scores(pair, job.request.prompt, texts) for texts in working.answers):
                self._score_written(pair, working, notice)  # it need not wait behind those that are still to be read
            else:
                self._beside.do(partial(self._score_written, pair, working, notice))
            return None
        return Ended(notice=notice)

    def _knows_scores(self, pair: "Pair", prompt: str, texts: Mapping[str, str]) -> bool:
        return isinstance(self._score, ScoredOnce) and self._score.knows(pair, prompt, texts)

    def _score_written(self, pair: "Pair", working: _Working, notice: str) -> None:
        """Score what a job has written, mostly in the thread that does so beside the writing."""
        job = working.entry.job
        assert isinstance(job, Generation)
        with self._ends(working) as ended:
            for sample, texts in enumerate(working.answers):
                if any(texts.values()) and not job.unwanted:
                    job.tell_anyway(replace(self._score(pair, job.request.prompt, texts), sample=sample))
            ended.append(Ended(notice=notice))
        if not self.length:
            return_memory()

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
