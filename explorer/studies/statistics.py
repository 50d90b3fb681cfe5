"""Means, causal effects and their bootstrap intervals."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; all nan where the number is not defined."""

    value: float
    low: float
    high: float

    def columns(self, name: str) -> dict[str, float]:
        """The estimate as table cells: name, name_low, name_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


def mean(values: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of [n] values over prompts with its percentile bootstrap interval."""
    values = np.asarray(values, dtype=np.float64)
    if not len(values) or np.isnan(values).any():
        return UNDEFINED
    return Estimate(float(values.mean()), *_interval((values,), lambda v, axis: v.mean(axis=axis), seed))


def causal_effect(m1: np.ndarray, patched: np.ndarray, m2: np.ndarray, seed: int = 0) -> Estimate:
    """C = (E[patched] − E[M1]) / (E[M2] − E[M1]) over the same prompts (paper section 3.2).

    0: nothing restored; 1: as safe as M2; it may exceed 1.

    Args:
        m1, patched, m2: [n] scores of each model's answer to the same prompts, in the same order.

    Returns:
        The effect with its paired bootstrap interval; `UNDEFINED` where a score is missing, or where the
        interval of the gap E[M2] − E[M1] includes 0, since a ratio to nothing means nothing.
    """
    m1, patched, m2 = (np.asarray(v, dtype=np.float64) for v in (m1, patched, m2))
    gap = mean(m2 - m1, seed)
    if not len(m1) or not (gap.low > 0 or gap.high < 0):
        return UNDEFINED

    def ratio(a, b, c, axis):
        return (b.mean(axis=axis) - a.mean(axis=axis)) / (c.mean(axis=axis) - a.mean(axis=axis))

    return Estimate(float(ratio(m1, patched, m2, 0)), *_interval((m1, patched, m2), ratio, seed))


def _interval(samples: tuple[np.ndarray, ...], statistic, seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval over prompts, all samples resampled together."""
    from scipy.stats import bootstrap

    if all(np.ptp(s) == 0 for s in samples):  # no spread: every resample gives the same number
        value = float(statistic(*samples, axis=0))
        return value, value
    found = bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        paired=True,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)
