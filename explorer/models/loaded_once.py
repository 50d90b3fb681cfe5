"""Models that are loaded once a process, however many pairs they are part of.

    model = loaded_once(key, load)       # the model that somebody holds already, else what `load` gives
    with Locks(model): ...               # hooks on its weights are seen by every pair that it is part of

A model lives for as long as a pair holds it: what is kept here are weak references.
"""

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_models: "WeakValueDictionary[Hashable, PreTrainedModel]" = WeakValueDictionary()
_locks: "WeakKeyDictionary[PreTrainedModel, threading.RLock]" = WeakKeyDictionary()
_guard = threading.Lock()
"""Held for a look into either of them, never while a model is loaded."""


def loaded_once(key: Hashable, load: "Callable[[], PreTrainedModel]") -> "PreTrainedModel":
    """The model of this key: the one that a pair holds, else a new one.

    Args:
        key: equal for what would be the same weights, in the same type and place.
        load: loads it; of two threads that load at once, both get the model of the first that is done.
    """
    with _guard:
        known = _models.get(key)
    if known is not None:
        return known
    model = load()
    with _guard:
        return _models.setdefault(key, model)


def state_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of the last change of every file of a folder: another checkpoint there is another model."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files)


class Locks:
    """The locks of several models as one, taken in one order by whoever wants more than one of them."""

    def __init__(self, *models: "PreTrainedModel") -> None:
        found = {id(lock): lock for lock in map(_lock_of, models)}
        self._locks = [found[number] for number in sorted(found)]

    def acquire(self, blocking: bool = True) -> bool:
        """Take all, or none; a thread that holds them may take them again. Whether they were taken."""
        for number, lock in enumerate(self._locks):
            if not lock.acquire(blocking):
                for taken in self._locks[:number]:
                    taken.release()
                return False
        return True

    def release(self) -> None:
        """Give all back."""
        for lock in reversed(self._locks):
            lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def share_lock(model: "PreTrainedModel", base: "PreTrainedModel") -> None:
    """Let a model over another one's weights have that one's lock."""
    lock = _lock_of(base)
    with _guard:
        _locks[model] = lock


def _lock_of(model: "PreTrainedModel") -> "threading.RLock":
    with _guard:
        return _locks.setdefault(model, threading.RLock())
