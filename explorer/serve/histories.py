"""The last generations of each browser, so that they outlast a reload: in this process's memory, never on disk.

HISTORIES.add(key, generation)          # key: what only that browser knows
HISTORIES.of(key)                       # its records, the newest first
"""

import threading
from collections import OrderedDict

from explorer.serve.generation import Generation
from explorer.serve.history import Record, remember

MOST_BROWSERS = 200
"""Browsers whose generations are kept, those that generated last."""


class Histories:
    """Records by browser; for use from any thread."""

    def __init__(self, most: int = MOST_BROWSERS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, list[Record]] = OrderedDict()

    def of(self, key: str) -> list[Record]:
        """The records of one browser, the newest first."""
        with self._lock:
            return list(self._kept.get(key, ()))

    def add(self, key: str, generation: Generation) -> None:
        """Keep a generation that is over; the browser that generated longest ago makes room."""
        with self._lock:
            self._kept[key] = remember(self._kept.pop(key, []), generation)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def forget(self, key: str) -> None:
        """Keep nothing of one browser any more."""
        with self._lock:
            self._kept.pop(key, None)


HISTORIES = Histories()
"""Those of this process."""
