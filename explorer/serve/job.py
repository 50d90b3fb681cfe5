"""A piece of work that waits its turn at a pair's models, as the page that asked for it sees it.

A worker thread (`worker.py`) tells a job what happens; the page drains what it was told, again and again, and shows
what it finds. Nothing here blocks, and nothing here imports torch.
"""

import queue
import threading
import time
import uuid
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    LOADING = "loading"
    WRITING = "writing"
    SCORING = "scoring"
    READING = "reading"
    DONE = "done"


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds.

    Attributes:
        waiting: in the queue without moving up, for itself and for each that comes before it.
        loading: without a word while the models load.
        silence: without a word while the models write or read, or answers are scored.
        running: writing, all steps together, for itself and for each that is written beside it.
        undrained: with no page that looks: then it was left.
    """

    waiting: float = 120.0
    loading: float = 600.0
    silence: float = 120.0
    running: float = 120.0
    undrained: float = 15.0


@dataclass(frozen=True)
class Began:
    """A phase has begun."""

    phase: Phase


@dataclass(frozen=True)
class Loading:
    """How far the models are."""

    what: str
    share: float


@dataclass(frozen=True)
class Place:
    """How many come before it in the queue."""

    ahead: int


@dataclass(frozen=True)
class Ended:
    """The job is over; `problem` is one sentence where it failed, `notice` one where it was cut short."""

    problem: str = ""
    notice: str = ""


class Job:
    """A job and what is known of it so far.

    Attributes:
        what: of people's words, "generation".
        button: that asks for it, as people see it.
        product, remedy: what it makes, with its verb, and what makes it shorter.
        id: unique.
        phase: where it is.
        loading: what is being loaded, and the share that is done.
        ahead: how many come before it in the queue, as it was told last.
        beside: how many waited or were written when it was asked for, itself included.
        problem: one sentence where it failed, else "".
        notice: one sentence where it was cut short, else "".
    """

    what = "generation"
    button = "Generate"
    product, remedy = "answers were", "ask for fewer tokens"

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.id = uuid.uuid4().hex
        self.phase = Phase.WAITING
        self.loading: tuple[str, float] = ("Starting", 0.0)
        self.problem = self.notice = ""
        self.ahead = 0
        self.beside = 1
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._halt = threading.Event()
        self._dropped = False
        self._heard = self._drained = time.monotonic()

    # -- for the page ----------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether there is more to come."""
        return self.phase is not Phase.DONE

    def drain(self) -> None:
        """Take in what the worker has told since the last time; a job that has hung is given up."""
        now = self._drained = time.monotonic()
        while self.active:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            self._heard = now
            self._take(event)
        if self.active and now - self._heard > self._patience():
            self._give_up()

    def drop(self) -> None:
        """Forget it: the worker is told to stop and the page no longer waits for it."""
        self._dropped = True
        self._halt.set()
        self.phase = Phase.DONE

    # -- for the worker --------------------------------------------------------------------------

    @property
    def unwanted(self) -> bool:
        """Whether nobody waits for it any more: it was dropped, or its page was closed."""
        return self._dropped or time.monotonic() - self._drained > self.limits.undrained

    @property
    def halted(self) -> bool:
        """Whether it must go on no further."""
        return self._halt.is_set() or self.unwanted

    def why_left(self) -> str:
        """One sentence for a page that comes back to a job it left; "" where a person stopped it."""
        return "" if self._halt.is_set() else f"The {self.what} ended early because its page was left."

    def why_cut(self, seconds: float) -> str:
        """One sentence for what took longer than it may, in seconds."""
        return f"The {self.product} cut after {seconds:.0f} s; {self.remedy}."

    def why_over(self) -> str:
        """ "stopped" or "left" where a person or the closing of a page has ended it; "" elsewhere."""
        return "stopped" if self._halt.is_set() else "left" if self.unwanted else ""

    def tell(self, event: object) -> bool:
        """Tell the page, unless it has been stopped; whether it was told."""
        with self._lock:
            if self._halt.is_set():
                return False
            self._events.put(event)
            return True

    def tell_anyway(self, event: object) -> None:
        """Tell the page, stopped or not: scores, and the end."""
        self._events.put(event)

    # -- inside ----------------------------------------------------------------------------------

    def _take(self, event: object) -> None:
        match event:
            case Began(phase):
                self.phase = phase
            case Loading(what, share):
                self.loading = (what, share)
            case Place(ahead):
                self.ahead = ahead
            case Ended(problem, notice):
                self.problem, self.notice = problem, notice
                self.phase = Phase.DONE

    def _patience(self) -> float:
        if self.phase is Phase.WAITING:
            return self.limits.waiting * (1 + self.ahead)
        return self.limits.loading if self.phase is Phase.LOADING else self.limits.silence

    def _give_up(self) -> None:
        seconds = self._patience()
        if self.phase is Phase.WAITING:
            self.problem = (
                f"Other generations kept the model busy for more than {seconds:.0f} s; press {self.button} to queue "
                "again."
            )
        elif self.phase is Phase.LOADING:
            self.problem = f"The models did not load within {seconds:.0f} s; the server's log may say why."
        else:
            self.problem = f"The model gave no sign of life for {seconds:.0f} s; press {self.button} to try again."
        self.drop()
