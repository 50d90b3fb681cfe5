"""Sparsity and place: how uneven scores are, and in which layers the top sets lie by rank (two tables).

`sparsity`: the distribution of each ranking's scores. `place`: groups of ranks by layer.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from explorer.neurons.fractions import CURVE
from explorer.neurons.ranking import Ranking, count_of

GROUPS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Bounds of the groups of ranks, as fractions of the ranked neurons."""


def sparsity_table(rankings: Mapping[str, Ranking], fractions: Sequence[float] = CURVE) -> pd.DataFrame:
    """How uneven the scores of each ranking are.

    Returns:
        Columns ranking, fraction, k, threshold (the lowest score in that top set), energy (its share of the sum of
        squared scores), and for the whole ranking skewness, kurtosis (0 for a normal distribution), gini (0: all
        alike, 1: one neuron has all), largest_to_median.
    """
    from scipy.stats import kurtosis, skew

    rows = []
    for name, changes in rankings.items():
        scores = changes.scores.reshape(-1)[changes.order].astype(np.float64)
        squares = np.cumsum(scores**2)
        ascending = np.sort(np.abs(scores))  # of attributions, which have signs, the sizes
        total = ascending.sum()
        weights = 2 * np.arange(1, len(scores) + 1) - len(scores) - 1
        median = float(np.median(ascending))
        whole = {
            "skewness": float(skew(scores)) if np.ptp(scores) else 0.0,
            "kurtosis": float(kurtosis(scores)) if np.ptp(scores) else 0.0,
            "gini": float((weights * ascending).sum() / (len(scores) * total)) if total else 0.0,
            "largest_to_median": float(ascending[-1] / median) if median else float("inf"),
        }
        for fraction in fractions:
            k = min(max(1, count_of(fraction, changes.scores.size)), len(scores))
            energy = float(squares[k - 1] / squares[-1]) if squares[-1] else 0.0
            rows.append(
                {"ranking": name, "fraction": fraction, "k": k, "threshold": float(scores[k - 1]), "energy": energy}
                | whole
            )
    return pd.DataFrame(rows)


def place_table(rankings: Mapping[str, Ranking], groups: Sequence[float] = GROUPS) -> pd.DataFrame:
    """Where each group of ranks lies.

    Returns:
        Columns ranking, group (from 1), from_fraction, to_fraction, layer, neurons, share (of the group), even (the
        share each layer would have if all were alike).
    """
    frames = []
    for name, changes in rankings.items():
        ranked = len(changes.order)
        bounds = [round(g * ranked) for g in groups]
        for number, (start, end) in enumerate(pairwise(bounds), start=1):
            layers = changes.order[start:end] // changes.n_neurons
            counts = np.bincount(layers, minlength=changes.n_layers)
            frames.append(
                pd.DataFrame(
                    {
                        "ranking": name,
                        "group": number,
                        "from_fraction": groups[number - 1],
                        "to_fraction": groups[number],
                        "layer": np.arange(changes.n_layers),
                        "neurons": counts,
                        "share": counts / max(1, end - start),
                        "even": 1 / changes.n_layers,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)
