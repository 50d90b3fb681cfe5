"""The area under the ROC curve with its bootstrap interval, over answers or over the questions that they answer."""

from collections.abc import Hashable, Sequence

import numpy as np

from explorer.studies.shares import wilson
from explorer.studies.statistics import CONFIDENCE, UNDEFINED, Estimate

RESAMPLES = 1_000


def auroc(
    labels: np.ndarray, scores: np.ndarray, clusters: Sequence[Hashable] | None = None, seed: int = 0
) -> Estimate:
    """How often a positive is scored above a negative (ties count half).

    Args:
        labels: [n] of 0 and 1.
        scores: [n], higher for positives.
        clusters: [n], what belongs together, such as the question that an answer is to: whole clusters are resampled,
            since answers to one question are no independent evidence. Left out: every answer for itself.
        seed: of the resampling.

    Returns:
        The area with its percentile bootstrap interval, over resamples that hold both classes; where all agree (the
        area is 0 or 1), with Wilson's bound of so many of the rarer class. `UNDEFINED` where one class is missing.
    """
    y, scores = np.asarray(labels) > 0, np.asarray(scores, dtype=np.float64)
    if y.all() or not y.any() or np.isnan(scores).any():
        return UNDEFINED
    _, places = np.unique(scores, return_inverse=True)
    numbers = np.arange(len(y)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    count = int(numbers.max()) + 1
    value = float(_areas(np.ones((1, len(y))), y, places)[0])
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    found = _areas(times[:, numbers].astype(np.float64), y, places)
    found = found[~np.isnan(found)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail]) if len(found) else (0.0, 1.0)
    rarer = min(len(np.unique(numbers[y])), len(np.unique(numbers[~y])))
    if value == 1:
        low = min(low, wilson(rarer, rarer)[0])
    if value == 0:
        high = max(high, wilson(0, rarer)[1])
    return Estimate(value, float(low), float(high))


def _areas(weights: np.ndarray, y: np.ndarray, places: np.ndarray) -> np.ndarray:
    """[resamples]: the area under each weighting [resamples, n] of the answers; nan where it lacks a class."""
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(places[order]) > 0])
    positive, negative = (np.add.reduceat((weights * c)[:, order], starts, axis=1) for c in (y, ~y))
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(pairs > 0, (positive * below).sum(axis=1) / pairs, np.nan)
