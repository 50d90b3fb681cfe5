"""What a neuron does over positions and prompts, as the numbers that it is clustered by.

Of k neurons and several suites of prompts (`engine.segments.SegmentSums`):

- for every suite and segment, how much more M2 changes it there than on average, log2;
- how much M2 changes it on average, log10, and on every other suite against the first, log2;
- whether it is above or below 0 in either model: its mean over its root mean square; and which way M2 changes it: the
  mean change over the mean absolute change;
- its score in the ranking over the set's median absolute score (asinh, which keeps the sign), and its layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.neurons.segments import BEFORE, SEGMENTS

_TINY = 1e-12

Sums = Mapping[str, np.ndarray]
"""The arrays of `engine.segments.SegmentSums` by name, [segments, k]."""


@dataclass(frozen=True)
class Profiles:
    """What k neurons do on each suite; activation units.

    Attributes:
        suites: their names; the first is the one that refusals are about.
        sums: for each suite, the arrays of `engine.segments.SegmentSums`, summed over its prompts; `prompts` is
            [prompts, k], all prompts of the suite.
    """

    suites: tuple[str, ...]
    sums: tuple[Sums, ...]

    def of(self, columns: np.ndarray) -> "Profiles":
        """The same of some of the neurons, int64 [picked]."""
        return Profiles(self.suites, tuple({n: a[:, columns] for n, a in sums.items()} for sums in self.sums))

    def mean(self, suite: int, what: str) -> np.ndarray:
        """float64 [segments, k]: the mean of m1, m2, … over each segment's positions; nan where there are none."""
        sums = self.sums[suite]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(sums["count"] > 0, sums[what] / sums["count"], np.nan)

    def overall(self, suite: int, what: str) -> np.ndarray:
        """float64 [k]: the same over all segments but the template's beginning."""
        sums = self.sums[suite]
        kept = _kept()
        mean: np.ndarray = sums[what][kept].sum(axis=0) / np.maximum(1, sums["count"][kept].sum(axis=0))
        return mean

    def relative(self, suite: int) -> np.ndarray:
        """float64 [segments, k]: the mean change of each segment over the neuron's own on the first suite."""
        return self.mean(suite, "moved") / (self.overall(0, "moved") + _TINY)


def profiles_of(suites: Sequence[str], parts: Sequence[Sequence[Mapping[str, Any]]]) -> Profiles:
    """The profiles of all parts: for each suite, the arrays that the task gave for each batch of its prompts."""

    def whole(found: Sequence[Mapping[str, Any]]) -> Sums:
        return {
            name: np.concatenate([f[name] for f in found])
            if name == "prompts"
            else np.sum([f[name] for f in found], axis=0)
            for name in found[0]
        }

    return Profiles(tuple(suites), tuple(whole(found) for found in parts))


def features_of(profiles: Profiles, scores: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """float64 [k, features], see the module; nan where a neuron has no positions.

    Args:
        profiles: of the k neurons.
        scores: float [k], of the ranking.
        layers: int64 [k].
    """
    columns: list[np.ndarray] = []
    first = profiles.overall(0, "moved") + _TINY
    for number in range(len(profiles.suites)):
        own = profiles.overall(number, "moved") + _TINY
        shape = np.log2(profiles.mean(number, "moved") / own + _TINY**0.5)
        # What the template begins with is the same for every prompt, so it counts once.
        columns += list(shape if number == 0 else shape[_kept()])
        columns.append(np.log10(own) if number == 0 else np.log2(own / first))
    for model in ("1", "2"):
        size = np.sqrt(profiles.overall(0, f"square{model}")) + _TINY
        columns.append(profiles.overall(0, f"m{model}") / size)
    columns.append((profiles.overall(0, "m2") - profiles.overall(0, "m1")) / first)
    size = float(np.median(np.abs(scores))) or 1.0
    columns += [np.arcsinh(scores / size), layers.astype(np.float64)]
    return np.stack(columns, axis=1).astype(np.float64)


def _kept() -> list[int]:
    return [number for number, name in enumerate(SEGMENTS) if name != BEFORE]
