"""Decoding steps without Python in their way: recorded once as a CUDA graph, and replayed while nothing but numbers
changes.

A step of a 7B model is some 500 kernels, each of a few microseconds, started one by one from Python: on a fast GPU that
takes longer than they run. Rows that end or part, a longer draft or another block of the cache are another step, which
runs as it is written until it has come `BEFORE` times.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from explorer.engine.backends.fused import FusedPass, Step
from explorer.engine.backends.interface import DecodePass

BEFORE = 2
"""So often a step of one shape runs as it is written: recording it takes about as long as running it twice."""

Compute = Callable[[Sequence[Step]], list[torch.Tensor]]
"""What a step gives, from one prepared step of each pass."""

MOST = 24
"""Graphs that are kept, at most; each holds what its step computes on the way."""


@dataclass(frozen=True)
class Recorded:
    """A graph, the steps whose tensors it reads, and what it gives."""

    graph: Any
    steps: Sequence[Step]
    found: list[torch.Tensor]


class StepGraphs:
    """The recorded steps of one decoding batch.

    Attributes:
        device: where all of it lies; not always the one that torch works on unless told otherwise.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._times: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, Recorded] = {}
        self._pool: Any = None
        self._stream: Any = None

    def clear(self) -> None:
        """Rows have ended or parted: no step is as one before."""
        self._times.clear()
        self._recorded.clear()
        self._pool = None  # which went with the last graph that used it

    def run(self, steps: Sequence[Step], compute: Compute) -> list[torch.Tensor]:
        """What `compute` makes of these steps.

        Args:
            steps: one of each pass.
            compute: works on the device alone; until `clear`, it does the same with steps of the same shapes.
        """
        key = tuple(step.shape for step in steps)
        if None in key:
            return compute(steps)
        known = self._recorded.get(key)
        if known is None:
            self._times[key] += 1
            if self._times[key] <= BEFORE or len(self._recorded) == MOST:
                return compute(steps)
            known = self._recorded[key] = self._record(steps, compute)
        else:
            for own, new in zip(known.steps, steps, strict=True):
                own.take(new)
        with _working_on(self.device):
            known.graph.replay()
        return known.found

    def _record(self, steps: Sequence[Step], compute: Compute) -> Recorded:
        with _working_on(self.device):
            graph = torch.cuda.CUDAGraph()
            torch.cuda.synchronize()
            # The stream that torch keeps for all recordings is of the device that recorded first.
            self._stream = self._stream or torch.cuda.Stream()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                found = compute(steps)
        self._pool = self._pool or graph.pool()  # replayed one at a time, they may share their memory
        return Recorded(graph, steps, found)


def graphs_for(passes: Sequence[DecodePass]) -> StepGraphs | None:
    """Where the steps of these passes are recorded; None where they cannot be."""
    fused = fused_passes(passes)
    if len(fused) < len(passes) or not all(one.replays for one in fused):
        return None
    return StepGraphs(fused[0].device) if len({one.device for one in fused}) == 1 else None


def _working_on(device: torch.device) -> AbstractContextManager[object]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def fused_passes(passes: Sequence[DecodePass]) -> list[FusedPass]:
    """Those of them whose steps can be prepared and run apart."""
    return [one for one in passes if isinstance(one, FusedPass)]
