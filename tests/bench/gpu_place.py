"""Where `make gpu` measures, and how."""

import time
from dataclasses import dataclass
from typing import Any

import torch

from tests.bench.measure import forget_peak, resident_mb

REPEATS = 3


@dataclass(frozen=True)
class Place:
    """Where it is measured.

    Attributes:
        device: a torch device.
        small: whether shapes are small.
        bandwidth: bytes a second that the device reads, measured; 0 where it is not asked.
    """

    device: torch.device
    small: bool
    bandwidth: float

    def wait(self) -> None:
        """Until the device has done what it was asked."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Any, repeats: int = REPEATS) -> float:
        """The median time of some work, warmed up once."""
        times = []
        for _ in range(1 + repeats):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - start)
        return sorted(times[1:])[repeats // 2]

    def forget_peak(self) -> None:
        """The peak begins again from what is held now."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            forget_peak()

    def peak(self) -> float:
        """Bytes held at most since then."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resident_mb("VmHWM") * 2**20


def bandwidth_of(device: torch.device) -> float:
    """Bytes a second that a large read takes: a sum over 4 GiB, best of ten."""
    x = torch.ones(2**31, dtype=torch.bfloat16, device=device)
    times = []
    for _ in range(10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        x.view(torch.int32).max()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return x.numel() * x.element_size() / min(times)
