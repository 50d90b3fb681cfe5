"""Where a build's tasks run: in this process, or (`ray_engine.py`) on the workers of a Ray cluster.

A task is a function of a module, called with the loaded models, what all items share, and one item. The
items and their order do not depend on the engine, nor does the order in which results are added up: both
engines give the same tables.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from explorer.errors import ExplorerError
from explorer.pipeline.models import Models, ModelsSpec

Task = Callable[[Models, Any, Any], Any]
"""task(models, shared, item): rows (a list of plain dicts) or arrays by name."""

ENGINES = ("local", "ray")


class Engine(Protocol):
    """Runs a task on many items."""

    def map(self, task: Task, shared: Any, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """The place of each item and its result, as they come in."""
        ...

    def close(self) -> None:
        """Let go of models and workers."""
        ...


class LocalEngine:
    """One item after another, in this process."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def map(self, task: Task, shared: Any, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See `Engine.map`."""
        for place, item in enumerate(items):
            yield place, task(self.models, shared, item)

    def close(self) -> None:
        """See `Engine.close`."""


def make_engine(name: str, spec: ModelsSpec, models: Models, workers: int = 0, address: str = "") -> Engine:
    """The engine of this name.

    Args:
        name: one of `ENGINES`.
        spec: what the workers of a cluster load.
        models: of this process.
        workers: of Ray; 0 for one a GPU, or 1 where there is none.
        address: of a Ray cluster; "" starts one on this machine.

    Raises:
        ExplorerError: there is no such engine, or Ray is not installed or not reachable.
    """
    check_engine(name)
    if name == "local":
        return LocalEngine(models)
    from explorer.pipeline.ray_engine import RayEngine

    return RayEngine(spec, workers, address)


def check_engine(name: str) -> None:
    """Raises:
    ExplorerError: there is no such engine.
    """
    if name not in ENGINES:
        raise ExplorerError(f"The engine “{name}” is not known; there are {' and '.join(ENGINES)}.")
