"""A model pair that is loaded once, in a thread of its own, for every session that asks for it.

    shared = SharedPair("demo")
    shared.start()                      # returns at once
    if shared.wait(1.0):
        pair = shared.result()

A page that is left or touched while the models load does not stop the loading. torch is imported in
the loading thread, never by a page.
"""

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError

if TYPE_CHECKING:
    from explorer.models.pair import Pair

LOG = logging.getLogger(__name__)

Load = Callable[[Callable[[str, float], None]], "Pair"]
"""Loads a pair; its argument is told what is being done and the share of it that is done."""


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

    Attributes:
        name: of the pair file.
        progress: what is being done, and the share of it that is done, 0 to 1.
        failed_at: when loading last failed (`time.monotonic`); None while it has not.
    """

    def __init__(self, name: str, load: Load | None = None) -> None:
        """Name a pair; nothing is loaded yet.

        Args:
            name: a shipped pair or the path of a pair file.
            load: what loads it; `explorer.load_pair` of that name when left out.
        """
        self.name = name
        self.progress: tuple[str, float] = ("Starting", 0.0)
        self.failed_at: float | None = None
        self._load = load or self._load_by_name
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._busy = False
        self._pair: Pair | None = None
        self._problem = ""
        self._cancelled = threading.Event()  # of the load that goes on
        self._last: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether the pair is there."""
        return self._pair is not None

    def start(self) -> None:
        """Begin to load unless the pair is there or on its way; a load that failed is tried again."""
        with self._lock:
            if self._busy or self._pair is not None:
                return
            self._busy = True
            self._problem, self.failed_at = "", None
            self.progress = ("Loading the libraries", 0.0)
            self._done.clear()
            self._cancelled = threading.Event()
            args = (self._cancelled, self._last)
            self._last = threading.Thread(target=self._run, args=args, name=f"load-{self.name}", daemon=True)
            self._last.start()

    def cancel(self) -> None:
        """Give up a load that goes on: it is over for everybody at once, and what it has loaded is let go.

        transformers cannot be stopped within a file; the thread ends at its next word, and a new load waits for that.
        """
        with self._lock:
            if not self._busy:
                return
            self._cancelled.set()
            self._busy, self._problem = False, "Loading was cancelled."
            self._done.set()

    @property
    def problem(self) -> str:
        """One sentence where the last load failed or was cancelled, else ""."""
        return self._problem

    @property
    def loading(self) -> bool:
        """Whether a load goes on."""
        return self._busy

    def wait(self, seconds: float) -> bool:
        """Wait for the load to end, well or badly; whether it has."""
        return self._done.wait(seconds)

    def result(self) -> "Pair":
        """The pair, once `wait` has said yes.

        Raises:
            ExplorerError: it could not be loaded, or not yet.
        """
        pair = self._pair
        if pair is None:
            raise ExplorerError(self._problem or "The models are still loading; try again in a moment.")
        return pair

    def release(self) -> None:
        """Let go of the models; a generation that still uses them keeps them until it ends."""
        with self._lock:
            self._pair = None
            if not self._busy:
                self._done.clear()
        free_memory()

    def _run(self, cancelled: threading.Event, before: threading.Thread | None) -> None:
        pair, problem = None, ""
        try:
            if before is not None:
                before.join()  # a cancelled load that has not ended holds memory
            pair = self._load(partial(self._tell, cancelled))
        except _Cancelled:
            LOG.info("loading the pair %s was cancelled", self.name)
        except ExplorerError as known:
            problem = str(known)
        except Exception:  # a page must hear of any failure; the log has the whole of it
            LOG.exception("loading the pair %s failed", self.name)
            problem = f"The models of “{self.name}” could not be loaded; the server's log says why."
        with self._lock:
            if not cancelled.is_set():
                self._pair, self._problem, self._busy = pair, problem, False
                self.failed_at = time.monotonic() if problem else None
                self._done.set()
        if cancelled.is_set():
            del pair
            free_memory()

    def _tell(self, cancelled: threading.Event, what: str, share: float) -> None:
        if cancelled.is_set():
            raise _Cancelled
        self.progress = (what, min(1.0, max(0.0, share)))

    def _load_by_name(self, tell: Callable[[str, float], None]) -> "Pair":
        from explorer.models.pair import load_pair

        return load_pair(self.name, progress=tell)
