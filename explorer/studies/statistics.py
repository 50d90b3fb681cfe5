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


def effect_difference(
    m1: np.ndarray, patched: np.ndarray, control: np.ndarray, m2: np.ndarray, seed: int = 0
) -> Estimate:
    """How much more of the gap `patched` restores than `control` does, with its paired bootstrap interval.

    Args:
        m1, patched, control, m2: [n] scores of answers to the same prompts, in the same order.

    Returns:
        The difference of the two causal effects; `UNDEFINED` where they are.
    """
    m1, patched, control, m2 = (np.asarray(v, dtype=np.float64) for v in (m1, patched, control, m2))
    if np.isnan(causal_effect(m1, patched, m2, seed).value):
        return UNDEFINED

    def difference(a, b, c, d, axis):
        return (b.mean(axis=axis) - c.mean(axis=axis)) / (d.mean(axis=axis) - a.mean(axis=axis))

    samples = (m1, patched, control, m2)
    return Estimate(float(difference(*samples, 0)), *_interval(samples, difference, seed))


def paired_p(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p of a paired t-test over prompts (the paper's); 1 where no pair differs, nan with fewer than 3."""
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if len(difference) < 3 or np.isnan(difference).any():
        return float("nan")
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] == 0 else 0.0
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(difference, 0.0).pvalue)


def restoring_fraction(
    m1: np.ndarray, curve: np.ndarray, m2: np.ndarray, fractions: np.ndarray, share: float = 0.9, seed: int = 0
) -> Estimate:
    """The patched fraction at which the causal effect first reaches `share`, linear between measured fractions.

    Args:
        m1, m2: [n] scores of each model's answers.
        curve: [fractions, n] scores of the patched answers.
        fractions: [fractions] ascending, 0 to 1; the curve starts at fraction 0 with M1.
        share: of the gap.

    Returns:
        The fraction with its bootstrap interval; infinite where no measured fraction reaches it, `UNDEFINED` where the
        gap is not distinguishable from 0.
    """
    m1, curve, m2 = (np.asarray(v, dtype=np.float64) for v in (m1, curve, m2))
    gap = mean(m2 - m1, seed)
    if not len(m1) or np.isnan(curve).any() or not (gap.low > 0 or gap.high < 0):
        return UNDEFINED
    points = np.concatenate([[0.0], np.asarray(fractions, dtype=np.float64)])
    rows = np.random.default_rng(seed).integers(len(m1), size=(RESAMPLES, len(m1)))
    found = np.empty(RESAMPLES)
    for i, picked in enumerate(rows):
        found[i] = _first_crossing(m1[picked], curve[:, picked], m2[picked], points, share)
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="nearest")
    return Estimate(_first_crossing(m1, curve, m2, points, share), float(low), float(high))


def _first_crossing(m1: np.ndarray, curve: np.ndarray, m2: np.ndarray, points: np.ndarray, share: float) -> float:
    base, gap = m1.mean(), m2.mean() - m1.mean()
    if gap == 0:
        return float("inf")
    effects = np.concatenate([[0.0], (curve.mean(axis=1) - base) / gap])
    reached = np.flatnonzero(effects >= share)
    if not len(reached):
        return float("inf")
    i = int(reached[0])
    rise = effects[i] - effects[i - 1]
    return float(points[i - 1] + (points[i] - points[i - 1]) * (share - effects[i - 1]) / rise)


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
