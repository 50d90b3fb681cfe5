"""What was asked for lately, of a bounded number: a dictionary in which the one asked for longest ago goes first.

lately = Lately(1_000)
lately.put(key, value)
lately.get(key)             # None where it is not kept
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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


def lately_of(pair: "Pair", owner: object, most: int) -> Lately[Any, Any]:
    """What an owner keeps of a pair, among all that is made of the models: it goes when they go."""
    found = pair.kept.setdefault(owner, Lately(most))
    assert isinstance(found, Lately)
    return found
