"""Progress callbacks: how long work says how much of it is done."""

from collections.abc import Callable

Progress = Callable[[float], None]
"""Progress callback, called with the fraction that is done, in [0, 1]."""

NamedProgress = Callable[[str, float], None]
"""The same with what is being done before it: of several stages, models or suites, each with a fraction of its own."""


def part_of(progress: Progress | None, start: float, share: float) -> Progress:
    """The callback for a part that begins at `start` of the whole and makes up `share` of it; None: nobody listens."""
    return (lambda done: progress(start + share * done)) if progress else (lambda _done: None)
