"""Means, causal effects and their intervals, and p-values.

Shares get Wilson's and Newcombe's intervals (`shares`), all else percentile bootstrap intervals over prompts. A paired
bootstrap knows only the changes that it has seen, so it collapses where few answers change or none does; intervals of
paired differences and of causal effects are therefore never narrower than these bounds:

- of 0/1 scores, Newcombe's;
- of other scores, the difference ± w · r, where w is Wilson's upper bound of 0 of n (the share of prompts that may
  behave otherwise though none of n did), and r the largest change that was seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.studies.shares import is_share, mcnemar_p, newcombe, wilson

VERSION = 3
"""Of how numbers come out of answers; a build makes its tables anew where it was another one."""

RESAMPLES = 2_000
CONFIDENCE = 0.95

Statistic = Callable[..., np.ndarray]
"""Of samples [..., n]: a number, or one for each resample."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; all nan where the number is not defined."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether the number is defined."""
        return not np.isnan(self.value)

    @property
    def sign(self) -> int:
        """1 or −1 where the interval lies above or below 0; 0 where it includes 0 or is not defined."""
        return int(self.low > 0) - int(self.high < 0)

    @classmethod
    def of(cls, row: Any, name: str) -> "Estimate":
        """The estimate in those cells of a table's row that `columns` names."""
        return cls(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))

    def columns(self, name: str) -> dict[str, float]:
        """The estimate as table cells: name, name_low, name_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


def mean(values: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of [n] values over prompts.

    Of 0/1 values, a share with Wilson's interval; else with the percentile bootstrap's, which is a point where all
    values are alike.
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values) or np.isnan(values).any():
        return UNDEFINED
    if is_share(values):
        return Estimate(float(values.mean()), *wilson(values.sum(), len(values)))
    return Estimate(float(values.mean()), *_interval((values,), lambda v: v.mean(axis=-1), seed))


def paired_difference(first: np.ndarray, second: np.ndarray, seed: int = 0) -> Estimate:
    """E[second] − E[first] over the same prompts; the bootstrap's interval, or the wider bounds (see the module).

    Args:
        first, second: [n] scores of answers to the same prompts, in the same order.
    """
    first, second = (np.asarray(v, dtype=np.float64) for v in (first, second))
    change = second - first
    if not len(change) or np.isnan(change).any():
        return UNDEFINED
    value = float(change.mean())
    if is_share(first, second):
        return Estimate(value, *newcombe(first, second))
    found = _interval((change,), lambda v: v.mean(axis=-1), seed)
    return _wider(value, found, _floor(first, second, float(np.abs(change).max()) or float(np.ptp(first))))


def causal_effect(m1: np.ndarray, patched: np.ndarray, m2: np.ndarray, seed: int = 0) -> Estimate:
    """C = (E[patched] − E[M1]) / (E[M2] − E[M1]) over the same prompts (paper section 3.2).

    0: nothing restored; 1: as safe as M2; it may exceed 1.

    Args:
        m1, patched, m2: [n] scores of each model's answer to the same prompts, in the same order.

    Returns:
        The effect; its interval is the paired bootstrap's, no narrower than the bounds of its distance from M1 or M2,
        whichever is nearer, over the measured gap. `UNDEFINED` where a score is missing, or where the interval of the
        gap E[M2] − E[M1] includes 0, since a ratio to nothing means nothing.
    """
    m1, patched, m2 = (np.asarray(v, dtype=np.float64) for v in (m1, patched, m2))
    gap = paired_difference(m1, m2, seed)
    if not gap.sign or np.isnan(patched).any():
        return UNDEFINED

    def ratio(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        start = a.mean(axis=-1)
        return _over(b.mean(axis=-1) - start, c.mean(axis=-1) - start)

    value, reach = float(ratio(m1, patched, m2)), float(np.abs(m2 - m1).max())
    if value < 0.5:
        least = _by(_floor(m1, patched, reach), gap.value)
    else:
        left = _by(_floor(patched, m2, reach), gap.value)
        least = 1 - left[1], 1 - left[0]
    return _wider(value, _interval((m1, patched, m2), ratio, seed), least)


def effect_difference(
    m1: np.ndarray, patched: np.ndarray, control: np.ndarray, m2: np.ndarray, seed: int = 0
) -> Estimate:
    """How much more of the gap `patched` restores than `control` does.

    Args:
        m1, patched, control, m2: [n] scores of answers to the same prompts, in the same order.

    Returns:
        The difference of the two causal effects, its interval as in `causal_effect`; `UNDEFINED` where they are.
    """
    m1, patched, control, m2 = (np.asarray(v, dtype=np.float64) for v in (m1, patched, control, m2))
    gap = paired_difference(m1, m2, seed)
    if not gap.sign or np.isnan(patched).any() or np.isnan(control).any():
        return UNDEFINED

    def difference(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
        return _over(b.mean(axis=-1) - c.mean(axis=-1), d.mean(axis=-1) - a.mean(axis=-1))

    samples = (m1, patched, control, m2)
    least = _by(_floor(control, patched, float(np.abs(m2 - m1).max())), gap.value)
    return _wider(float(difference(*samples)), _interval(samples, difference, seed), least)


def over_draws(draws: Sequence[Estimate]) -> Estimate:
    """Several random draws of one control as one estimate.

    Returns:
        Their mean, from the lowest of their bounds to the highest: wide enough for another draw among these, which
        the interval of their mean over prompts is not.
    """
    if not draws or any(not d.known for d in draws):
        return UNDEFINED
    return Estimate(float(np.mean([d.value for d in draws])), min(d.low for d in draws), max(d.high for d in draws))


def paired_p(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p that two columns of answers to the same prompts differ.

    Of 0/1 scores by McNemar's exact test, else by the paper's paired t-test; where all pairs differ alike, by the sign
    test. nan with fewer than 3 pairs.
    """
    first, second = (np.asarray(v, dtype=np.float64) for v in (first, second))
    difference = first - second
    if len(difference) < 3 or np.isnan(difference).any():
        return float("nan")
    if is_share(first, second):
        return mcnemar_p(first, second)
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] == 0 else 2.0 ** (1 - len(difference))
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(difference, 0.0).pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number (Holm 1979), in the shape of `p`; nan stays nan and does not count."""
    flat = np.asarray(p, dtype=np.float64).reshape(-1)
    out = np.full(len(flat), np.nan)
    order = np.argsort(flat)[: int((~np.isnan(flat)).sum())]  # nan sorts last
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(1.0, np.maximum.accumulate(factors * flat[order]))
    return out.reshape(np.shape(p))


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
        The fraction with its bootstrap interval (the measured fractions around it, where every resample says the same);
        infinite where no measured fraction reaches it, `UNDEFINED` where the gap is not distinguishable from 0.
    """
    m1, curve, m2 = (np.asarray(v, dtype=np.float64) for v in (m1, curve, m2))
    if not paired_difference(m1, m2, seed).sign or np.isnan(curve).any():
        return UNDEFINED
    points = np.concatenate([[0.0], np.asarray(fractions, dtype=np.float64)])
    rows = np.random.default_rng(seed).integers(len(m1), size=(RESAMPLES, len(m1)))
    found = np.empty(RESAMPLES)
    for i, picked in enumerate(rows):
        found[i] = _first_crossing(m1[picked], curve[:, picked], m2[picked], points, share)
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="nearest")
    value = _first_crossing(m1, curve, m2, points, share)
    if low == high and np.isfinite(value):  # between two measured fractions is all that is known
        low, high = points[points < value].max(initial=0.0), points[points >= value].min()
    return Estimate(value, float(low), float(high))


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


def _interval(samples: tuple[np.ndarray, ...], statistic: Statistic, seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval over prompts, all samples resampled together; `statistic` works on the last axis.

    Resamples that the statistic is not defined on (nan) are left out.
    """
    n = len(samples[0])
    rows = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    found = np.asarray(statistic(*(s[rows] for s in samples)))
    found = found[~np.isnan(found)]
    if not len(found):
        return float("-inf"), float("inf")
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="nearest")
    return float(low), float(high)


def _floor(first: np.ndarray, second: np.ndarray, reach: float) -> tuple[float, float]:
    """Bounds of E[second] − E[first] that no interval may be inside of, see the module."""
    if is_share(first, second):
        return newcombe(first, second)
    value, unseen = float((second - first).mean()), wilson(0, len(first))[1]
    return value - unseen * reach, value + unseen * reach


def _by(bounds: tuple[float, float], divisor: float) -> tuple[float, float]:
    low, high = (bound / divisor for bound in bounds)
    return min(low, high), max(low, high)


def _over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = a / b
    return found


def _wider(value: float, *bounds: tuple[float, float]) -> Estimate:
    """An estimate that spans all bounds."""
    return Estimate(value, min(low for low, _ in bounds), max(high for _, high in bounds))
