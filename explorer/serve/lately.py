"""What was asked for lately, of a bounded number: a dictionary in which the one asked for longest ago goes first.

lately = Lately(1_000)
lately.put(key, value)
lately.get(key)             # None where it is not kept
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from explorer.models.pair import Pair

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lately(Generic[K, V]):
    """Keeps at most so many values; threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value of a key, which counts as asked for now."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: K, value: V) -> None:
        """Keep a value; the one asked for longest ago makes room."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)


class LatelyOf(Generic[K, V]):
    """What stays right for as long as a pair is loaded: of the latest pair alone, so many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pair: weakref.ref[Pair] | None = None
        self._kept: Lately[K, V] = Lately(most)

    def of(self, pair: "Pair") -> Lately[K, V]:
        """What is kept of a pair; nothing at first, and once another one is loaded, be it from the same files."""
        if self._pair is None or self._pair() is not pair:
            self._pair, self._kept = weakref.ref(pair), Lately(self._most)
        return self._kept
