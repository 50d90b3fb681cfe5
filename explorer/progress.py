"""Progress of a part of a job, told as progress of the whole."""

from collections.abc import Callable

Progress = Callable[[float], None]
"""Told the share that is done, 0 to 1."""


def part_of(progress: Progress | None, start: float, share: float) -> Progress:
    """What to tell of a part that begins at `start` of the whole and makes up `share` of it; None: nobody listens."""
    return (lambda done: progress(start + share * done)) if progress else (lambda _done: None)
