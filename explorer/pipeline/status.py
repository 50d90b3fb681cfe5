"""How far a build is: counted in tokens over all stages, told to the terminal, and kept in a file for the app.

with StatusFile(work) as status:
    build(config, watch=status.tell)
read_status(work)       # from any process: running, done, failed, stopped, with the time left
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.files import make_folder
from explorer.pipeline.stages import Stage, read_json, write_json

if TYPE_CHECKING:
    from psutil import Process

FILE = "status.json"
SAME_START = 2.0
"""Seconds by which the start of one process may seem to differ, as the clock of the machine is set."""

FLAT = 2_000.0
"""Tokens that a stage counts for beside those its models read: tables take time as well."""

WRITE_EVERY = 0.5
"""Seconds between two writings of the file."""


@dataclass(frozen=True)
class Status:
    """How far a build is.

    Attributes:
        stage: what is being done, the `number`-th of `of`.
        share: of it, 0 to 1.
        overall: of the whole build, 0 to 1.
        seconds: since this process began with it.
        seconds_left: about; None while nothing is known of its speed.
    """

    stage: str
    share: float
    number: int
    of: int
    overall: float
    seconds: float
    seconds_left: float | None

    def words(self) -> str:
        """One line for a terminal or a page."""
        left = "" if self.seconds_left is None else f", about {duration(self.seconds_left)} left"
        return (
            f"stage {self.number} of {self.of}, {self.stage}: {self.share:.0%} · whole build {self.overall:.0%} after "
            f"{duration(self.seconds)}{left}"
        )


@dataclass(frozen=True)
class Known:
    """What the file says of a build.

    Attributes:
        state: "running", "done", "failed" or "stopped" ("stopped" also where its process is no more).
        pid, created: of its process: number, and when it was started, in seconds since 1970. Numbers are given again,
            both together are not.
        problem: one sentence where it failed.
        status: the latest; None before the first.
    """

    state: str
    pid: int
    problem: str = ""
    status: Status | None = None
    created: float = 0.0

    def process(self) -> "Process | None":
        """The process of this build, if it is still there and no other that got its number."""
        import psutil

        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) < SAME_START
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.Error, ValueError, OverflowError):
            return None


class Clock:
    """Turns what stages tell into the state of the whole build."""

    def __init__(
        self, stages: Sequence[Stage], done: Sequence[bool], now: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            stages: all of the build, in order.
            done: which of them were done before.
            now: a clock, in seconds.
        """
        self._names = [stage.name for stage in stages]
        self._weights = [stage.tokens + FLAT for stage in stages]
        self._shares = [float(d) for d in done]
        self._began, self._kept = self._so_far(), False
        self._now, self._start = now, now()

    def kept(self) -> None:
        """What is told next was there before: it says nothing of the speed."""
        self._kept = True

    def tell(self, stage: str, share: float) -> Status:
        """Take in a stage's progress; the state of the build."""
        number, before = self._names.index(stage), self._so_far()
        self._shares[number] = max(self._shares[number], share)
        seconds, done, total = self._now() - self._start, self._so_far(), sum(self._weights)
        if self._kept:
            self._began, self._kept = self._began + done - before, False
        worked = done - self._began
        left = seconds * (total - done) / worked if worked > 0 and seconds > 0 else None
        return Status(stage, share, number + 1, len(self._names), done / total, seconds, left)

    def _so_far(self) -> float:
        """Tokens of all that is done."""
        return sum(w * s for w, s in zip(self._weights, self._shares, strict=True))


class StatusFile:
    """Keeps the status of the build of this process in its work folder, for as long as the block lasts.

    A lock of the operating system says who builds: it is taken in one step, and is gone with the process that held it.
    """

    def __init__(self, work: Path) -> None:
        import psutil
        from filelock import FileLock

        self.path = work / FILE
        self._known = Known("running", os.getpid(), created=psutil.Process().create_time())
        self._written = 0.0
        self._lock = FileLock(work.with_name(f"{work.name}.lock"))  # beside the folder, which may be removed meanwhile

    def __enter__(self) -> "StatusFile":
        """Say that the build is running.

        Raises:
            ExplorerError: another process builds the same run.
        """
        from filelock import Timeout

        make_folder(self.path.parent)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            other = read_status(self.path.parent)
            who = f"Process {other.pid}" if other is not None and other.state == "running" else "Another process"
            raise ExplorerError(
                f"{who} is building this run already; wait for it or stop it, then try again."
            ) from None
        self._write()
        return self

    def tell(self, status: Status) -> None:
        """Note the status; it is written now and then."""
        self._known = replace(self._known, status=status)
        if time.monotonic() - self._written > WRITE_EVERY:
            self._write()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = "done" if kind is None else "stopped" if issubclass(kind, KeyboardInterrupt) else "failed"
        said = str(problem) if isinstance(problem, ExplorerError) else "" if state != "failed" else repr(problem)[:300]
        self._known = replace(self._known, state=state, problem=said)
        try:
            self._write()
        finally:
            self._lock.release()

    def _write(self) -> None:
        write_json(self.path, asdict(self._known))
        self._written = time.monotonic()


def read_status(work: Path) -> Known | None:
    """What is known of the build in a work folder; None where there has been none."""
    raw = read_json(work / FILE)
    if not isinstance(raw, dict):
        return None
    try:
        status = None if raw["status"] is None else Status(**raw["status"])
        known = Known(raw["state"], int(raw["pid"]), raw["problem"], status, float(raw.get("created", 0.0)))
    except (KeyError, TypeError, ValueError):
        return None
    if known.state == "running" and known.process() is None:
        return replace(known, state="stopped")
    return known


def stop_on_terminate() -> None:
    """Let this process end as it does on Ctrl-C when it is told to terminate, so that its build is noted as stopped."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


def duration(seconds: float) -> str:
    """A time as people say it: "45 s", "12 min", "1 h 5 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
