"""How fast a server writes, and from that how long somebody waits at most."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from explorer.serve.generation import Generation
from explorer.serve.job import Job
from explorer.serve.strip import Strip

_WEIGHT = 0.1
"""Of the latest step or job in the running means."""

_GAP = 5.0
"""Seconds after which the time since the last step says nothing of the speed."""


@dataclass
class Pace:
    """Running means of the seconds that a step and a whole job take.

    Attributes:
        step: seconds between two steps of those that are written; None before the second one.
        job: seconds of a job from its beginning to its last word; None before the first has ended.
        steps, answers: how many there have been.
    """

    step: float | None = None
    job: float | None = None
    steps: int = 0
    answers: int = 0
    _last: float = 0.0

    def stepped(self, written: int, now: float | None = None) -> None:
        """A step has ended; so many jobs wrote in it."""
        now = time.monotonic() if now is None else now
        if written:
            self.steps += 1
            if now - self._last < _GAP:
                self.step = _mean(self.step, now - self._last)
            self._last = now

    def ended(self, seconds: float) -> None:
        """A job has ended that took so long."""
        self.answers += 1
        self.job = _mean(self.job, seconds)

    def wait(self, before: int, working: Sequence[Job]) -> float | None:
        """Seconds until a job begins, at most about; None while nothing is known of the speed.

        Args:
            before: how many that wait come before it.
            working: what is at work: each that ends makes room for one.
        """
        if not working:
            return 0.0 if before == 0 else None if self.job is None else before * self.job
        left = sorted(self._left(job) for job in working)
        if self.step is None or (before >= len(left) and self.job is None):
            return None
        rounds, place = divmod(before, len(left))
        return left[place] * self.step + rounds * (self.job or 0.0)

    @staticmethod
    def _left(job: Job) -> int:
        """Steps until a job has written all that it may."""
        if isinstance(job, Generation):
            return job.request.max_new_tokens - min(column.tokens for column in job.columns.values())
        if isinstance(job, Strip):
            return job.request.max_new_tokens - min(column.tokens for column in job.frames.values())
        return 0


def _mean(known: float | None, new: float) -> float:
    return new if known is None else (1 - _WEIGHT) * known + _WEIGHT * new
