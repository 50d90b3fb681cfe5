"""A build's progress on standard error: bars in a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from explorer.pipeline.status import Status, duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 15.0
"""Seconds between two lines of one stage where there is no terminal."""

_WHOLE = "whole build"


class Display:
    """Shows every status that it is told, for as long as the block lasts."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last: tuple[str, float] = ("", 0.0)

    def __enter__(self) -> "Display":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[about]}"))
            self._bars = Progress(*columns, console=Console(stderr=True))
            self._bars.start()
        return self

    def tell(self, status: Status) -> None:
        """Show a status."""
        if self._bars is None:
            self._line(status)
            return
        left = "" if status.seconds_left is None else f"about {duration(status.seconds_left)} left"
        self._bar(_WHOLE, status.overall, f"{status.overall:4.0%} {left}")
        self._bar(status.stage, status.share, f"{status.share:4.0%}")

    def _bar(self, name: str, share: float, about: str) -> None:
        assert self._bars is not None
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=1.0, about=about)
        self._bars.update(self._tasks[name], completed=share, about=about)

    def _line(self, status: Status) -> None:
        stage, shown = self._last
        if status.stage == stage and time.monotonic() - shown < EVERY:
            return
        if status.stage != stage and status.share == 1.0:  # done before: nothing to wait for
            return
        self._last = (status.stage, time.monotonic())
        print(status.words(), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
