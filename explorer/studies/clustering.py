"""Clusters of neurons by what they do, and whether there is more structure than in other neurons: numbers, no models.

found = cluster(features)                  # k-means, k from 2 to 8 by the mean silhouette
stability(features, found.labels)          # adjusted Rand index over bootstrap resamples
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

SEED = 0
MOST = 8
"""Clusters that are tried, from 2."""

STARTS = 5
"""Of k-means, the best of which counts."""

RESAMPLES = 30
"""Of the neurons, for the stability of a partition."""

CLIP = 3.0
"""Standardised features are cut here, so that a few extreme neurons are no cluster of their own."""


@dataclass(frozen=True)
class Clusters:
    """A partition of n neurons.

    Attributes:
        labels: int64 [n], from 0; the largest cluster first.
        silhouettes: the mean silhouette of every number of clusters that was tried, −1 to 1.
        each: float64 [n], every neuron's own silhouette in the partition.
    """

    labels: np.ndarray
    silhouettes: dict[int, float]
    each: np.ndarray

    @property
    def k(self) -> int:
        """The number of clusters, the one of the highest mean silhouette."""
        return max(self.silhouettes, key=lambda k: self.silhouettes[k])


def standardised(features: np.ndarray) -> np.ndarray:
    """Features [n, f] in standard deviations from their mean, cut at ±CLIP; 0 where one is nan or has no spread.

    A neuron of an encoder does nothing over an answer: what it lacks pulls it nowhere.
    """
    known = np.isfinite(features)
    values = np.where(known, features, 0.0)
    n = np.maximum(1, known.sum(axis=0))
    centre = values.sum(axis=0) / n
    spread = np.sqrt((np.where(known, values - centre, 0.0) ** 2).sum(axis=0) / n)
    flat = spread <= 1e-9 * np.maximum(1, np.abs(centre))
    scaled = np.where(known & ~flat, (values - centre) / np.where(flat, 1.0, spread), 0.0)
    return np.clip(scaled, -CLIP, CLIP)


def cluster(features: np.ndarray, most: int = MOST) -> Clusters | None:
    """The partition of the highest mean silhouette among k-means with 2 to `most` clusters.

    Args:
        features: float64 [n, f], as `standardised` gives them.
        most: clusters at most; no more than a third of the neurons.

    Returns:
        The partition; None where there are too few unlike neurons for two clusters.
    """
    from sklearn.metrics import silhouette_samples

    unlike = len(np.unique(features, axis=0))
    found = {k: _fit(features, k).labels_ for k in range(2, min(most, len(features) // 3, unlike - 1) + 1)}
    if not found:
        return None
    each = {k: silhouette_samples(features, labels) for k, labels in found.items()}
    means = {k: float(values.mean()) for k, values in each.items()}
    best = max(means, key=lambda k: means[k])
    sizes = np.bincount(found[best])
    place = np.argsort(np.argsort(-sizes, kind="stable"))
    return Clusters(place[found[best]].astype(np.int64), means, each[best])


def stability(features: np.ndarray, labels: np.ndarray, resamples: int = RESAMPLES) -> np.ndarray:
    """How like a partition the ones of bootstrap resamples are: 1 the same, 0 no more alike than by chance.

    Args:
        features: float64 [n, f].
        labels: int64 [n].
        resamples: of the n neurons, with replacement; each is clustered, and all neurons go to its nearest centres.

    Returns:
        The adjusted Rand index of each resample, float64 [resamples].
    """
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(SEED)
    k, out = int(labels.max()) + 1, []
    for _ in range(resamples):
        picked = features[rng.integers(len(features), size=len(features))]
        if len(np.unique(picked, axis=0)) >= k:
            out.append(float(adjusted_rand_score(labels, _fit(picked, k).predict(features))))
    return np.array(out)


def _fit(features: np.ndarray, k: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=STARTS, random_state=SEED).fit(features)
