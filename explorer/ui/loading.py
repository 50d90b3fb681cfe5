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
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError

if TYPE_CHECKING:
    from explorer.models.pair import Pair

LOG = logging.getLogger(__name__)

Load = Callable[[Callable[[str, float], None]], "Pair"]
"""Loads a pair; its argument is told what is being done and the share of it that is done."""


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
        threading.Thread(target=self._run, name=f"load-{self.name}", daemon=True).start()

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
            self._done.clear()
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _run(self) -> None:
        pair, problem = None, ""
        try:
            pair = self._load(self._tell)
        except ExplorerError as known:
            problem = str(known)
        except Exception:  # a page must hear of any failure; the log has the whole of it
            LOG.exception("loading the pair %s failed", self.name)
            problem = f"The models of “{self.name}” could not be loaded; the server's log says why."
        with self._lock:
            self._pair, self._problem, self._busy = pair, problem, False
            self.failed_at = time.monotonic() if problem else None
            self._done.set()

    def _tell(self, what: str, share: float) -> None:
        self.progress = (what, min(1.0, max(0.0, share)))

    def _load_by_name(self, tell: Callable[[str, float], None]) -> "Pair":
        from explorer.models.pair import load_pair

        return load_pair(self.name, progress=tell)
