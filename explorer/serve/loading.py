"""A model pair that is loaded once, in a thread of its own, for every session that asks for it.

    shared = SharedPair("demo")
    with shared.used():                 # from now on nobody takes it away
        shared.start()                  # returns at once
        if shared.wait(1.0):
            pair = shared.result()

A page that is left or touched while the models load does not stop the loading. torch is imported in the loading thread,
never by a page. Pairs are loaded one after the other: of two threads that import torch at once, one finds half of it.
"""

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError

if TYPE_CHECKING:
    from explorer.models.pair import Pair

LOG = logging.getLogger(__name__)

Load = Callable[[Callable[[str, float], None]], "Pair"]
"""Loads a pair; its argument is told what is being done and the share of it that is done."""

_CANCELLED = "Loading was cancelled."
_GATE = threading.Lock()
"""Held by the thread that loads a pair, whichever."""

_POLL = 0.05
"""Seconds between two looks at whether a load that waits for another was cancelled."""


class State(StrEnum):
    """What is known of a pair's models."""

    EMPTY = "empty"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class _Cancelled(Exception):
    """Ends a load that nobody wants any more."""


def free_memory() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


class SharedPair:
    """One pair and its loading; every method may be called from any thread.

    Whoever waits, waits for a state, not for a signal: a load that is cancelled, a pair that is released and one that
    is loaded again in quick succession leave nobody asleep.

    Attributes:
        name: of the pair file.
        progress: what is being done, and the share of it that is done, 0 to 1.
        failed_at: when loading last failed (`time.monotonic`); None while it has not.
        last_used: when somebody last worked with it (`time.monotonic`).
    """

    def __init__(
        self, name: str, load: Load | None = None, make_room: Callable[["SharedPair"], None] | None = None
    ) -> None:
        """Name a pair; nothing is loaded yet.

        Args:
            name: a shipped pair or the path of a pair file.
            load: what loads it; `explorer.load_pair` of that name when left out.
            make_room: called in the loading thread before anything is loaded; an `ExplorerError` ends the load.
        """
        self.name = name
        self.progress: tuple[str, float] = ("Starting", 0.0)
        self.failed_at: float | None = None
        self.last_used = time.monotonic()
        self._load = load or self._load_by_name
        self._make_room = make_room
        self._changed = threading.Condition()
        self._state = State.EMPTY
        self._users = 0
        self._pair: Pair | None = None
        self._problem = ""
        self._cancelled = threading.Event()  # of the load that goes on
        self._last: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether the pair is there."""
        return self._state is State.READY

    @property
    def loading(self) -> bool:
        """Whether a load goes on."""
        return self._state is State.LOADING

    @property
    def problem(self) -> str:
        """One sentence where the last load failed or was cancelled, else ""."""
        return self._problem

    @property
    def bytes(self) -> int:
        """What the weights take; 0 where they are not there."""
        pair = self._pair
        return pair.memory_bytes if pair is not None else 0

    @property
    def users(self) -> int:
        """How many wait for it or work with it."""
        return self._users

    @contextmanager
    def used(self) -> Iterator[None]:
        """For as long as the block lasts, its models are not released, nor is its loading cancelled."""
        with self._changed:
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self.last_used = time.monotonic()

    def start(self) -> None:
        """Begin to load unless the pair is there or on its way; a load that failed is tried again."""
        with self._changed:
            if self._state in (State.LOADING, State.READY):
                return
            self._problem, self.failed_at = "", None
            self.progress = ("Loading the libraries", 0.0)
            self._cancelled = threading.Event()
            args = (self._cancelled, self._last)
            self._last = threading.Thread(target=self._run, args=args, name=f"load-{self.name}", daemon=True)
            self._set(State.LOADING)
            self._last.start()

    def cancel(self) -> bool:
        """Give up a load that goes on, unless somebody waits for it; whether it was given up.

        It is over at once, and what it has loaded is let go. transformers cannot be stopped within a file; the thread
        ends at its next word, and a new load waits for that.
        """
        with self._changed:
            if self._state is not State.LOADING or self._users:
                return False
            self._cancelled.set()
            self._problem = _CANCELLED
            self._set(State.FAILED)
            return True

    def wait(self, seconds: float) -> bool:
        """Wait for the load to end, well or badly; whether it has. Where none goes on, there is nothing to wait for."""
        with self._changed:
            return self._changed.wait_for(lambda: self._state in (State.READY, State.FAILED), seconds)

    def result(self) -> "Pair":
        """The pair, once `wait` has said yes.

        Raises:
            ExplorerError: it could not be loaded, or not yet.
        """
        with self._changed:
            if self._pair is None:
                raise ExplorerError(self._problem or "The models are still loading; try again in a moment.")
            return self._pair

    def release(self) -> bool:
        """Let go of the models, unless somebody waits for them or works with them; whether they are let go."""
        with self._changed:
            if self._users:
                return False
            self._pair = None
            if self._state is State.READY:
                self._set(State.EMPTY)
        free_memory()
        return True

    def _set(self, state: State) -> None:
        self._state = state
        self._changed.notify_all()

    def _run(self, cancelled: threading.Event, before: threading.Thread | None) -> None:
        pair, problem = None, ""
        try:
            if before is not None:
                before.join()  # a cancelled load that has not ended holds memory
            with self._gate(cancelled):
                if self._make_room is not None:
                    self._make_room(self)
                pair = self._load(partial(self._tell, cancelled))
        except _Cancelled:
            LOG.info("loading the pair %s was cancelled", self.name)
        except ExplorerError as known:
            problem = str(known)
        except Exception:  # a page must hear of any failure; the log has the whole of it
            LOG.exception("loading the pair %s failed", self.name)
            problem = f"The models of “{self.name}” could not be loaded; the server's log says why."
        with self._changed:
            if not cancelled.is_set():
                self._pair, self._problem, self.last_used = pair, problem, time.monotonic()
                self.failed_at = time.monotonic() if problem else None
                self._set(State.FAILED if problem else State.READY)
        if cancelled.is_set():
            del pair
            free_memory()

    @contextmanager
    def _gate(self, cancelled: threading.Event) -> Iterator[None]:
        """Wait until no other pair is being loaded."""
        if not _GATE.acquire(blocking=False):
            self._tell(cancelled, "Waiting for another pair to load", 0.0)
            while not _GATE.acquire(timeout=_POLL):
                if cancelled.is_set():
                    raise _Cancelled
        try:
            yield
        finally:
            _GATE.release()

    def _tell(self, cancelled: threading.Event, what: str, share: float) -> None:
        if cancelled.is_set():
            raise _Cancelled
        self.progress = (what, min(1.0, max(0.0, share)))

    def _load_by_name(self, tell: Callable[[str, float], None]) -> "Pair":
        from explorer.models.pair import load_pair

        return load_pair(self.name, progress=tell)
