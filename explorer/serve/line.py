"""The queue of a pair's work: visitors take turns, and each one's own jobs are served as they came.

line.add(job, visitor)
line.next(working)                  # of who has least at work now, and of these of whose turn is longest ago
line.before(job, working)
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from explorer.errors import ExplorerError
from explorer.serve.job import Job


@dataclass(frozen=True)
class QueueLimits:
    """How much may wait and work at once; 0 for no limit.

    Attributes:
        of_visitor: of one visitor.
        in_all: of all.
    """

    of_visitor: int = 0
    in_all: int = 0


@dataclass
class Entry:
    """A job in the queue.

    Attributes:
        job: the work.
        visitor: whose; "" where that does not matter.
        number: counts up.
        told: how many come before it, as it was told last; −1 before.
        since: when it came (`time.monotonic`).
    """

    job: Job
    visitor: str
    number: int
    told: int = -1
    since: float = field(default_factory=time.monotonic)


class Line:
    """Jobs that wait; whoever uses it holds a lock."""

    def __init__(self, limits: QueueLimits | None = None) -> None:
        self.limits = limits or QueueLimits()
        self.entries: list[Entry] = []
        self._number = 0
        self._turns: dict[str, int] = {}  # when each visitor's turn was last, counting up

    def add(self, job: Job, visitor: str, working: Mapping[str, int]) -> Entry:
        """Put a job at the end.

        Args:
            job: the work.
            visitor: whose.
            working: how much of each visitor's is at work.

        Raises:
            ExplorerError: this visitor, or all together, have as much here as they may.
        """
        waiting = Counter(entry.visitor for entry in self.entries if not entry.job.halted)
        own, every = waiting[visitor] + working.get(visitor, 0), waiting.total() + sum(working.values())
        if self.limits.of_visitor and own >= self.limits.of_visitor:
            raise ExplorerError(
                f"You have {own} requests waiting or at work, as many as one visitor may; wait for one or stop it."
            )
        if self.limits.in_all and every >= self.limits.in_all:
            raise ExplorerError(f"{every} requests wait or are at work, as many as this server takes; try again soon.")
        self._number += 1
        entry = Entry(job, visitor, self._number)
        self.entries.append(entry)
        return entry

    def order(self, working: Mapping[str, int]) -> list[Entry]:
        """In which order they will be taken, if nothing changes."""
        counts, turns, rest, order = Counter(working), dict(self._turns), list(self.entries), []
        while rest:
            first = min(rest, key=lambda entry: _rank(entry, counts, turns))
            counts[first.visitor] += 1
            turns[first.visitor] = max(turns.values(), default=0) + 1
            rest.remove(first)
            order.append(first)
        return order

    def next(self, working: Mapping[str, int]) -> Entry | None:
        """Who is taken next; it stays in the queue."""
        return min(self.entries, key=lambda entry: _rank(entry, working, self._turns), default=None)

    def take(self, entry: Entry) -> None:
        """Take a job out of the queue: it was its visitor's turn."""
        self.entries.remove(entry)
        self._turns[entry.visitor] = max(self._turns.values(), default=0) + 1
        if not self.entries:
            self._turns.clear()

    def before(self, job: Job, working: Mapping[str, int]) -> int | None:
        """How many that still want something are taken before this one; None where it does not wait."""
        order = self.order(working)
        place = next((i for i, entry in enumerate(order) if entry.job is job), None)
        return None if place is None else sum(not entry.job.halted for entry in order[:place])


def _rank(entry: Entry, working: Mapping[str, int], turns: Mapping[str, int]) -> tuple[int, int, int]:
    return working.get(entry.visitor, 0), turns.get(entry.visitor, 0), entry.number
