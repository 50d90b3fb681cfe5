"""The ranking by effect size: how far the two models' mean activations lie apart, in standard deviations.

    d = |mean2 − mean1| / s,   s = sqrt((std1² + std2²) / 2)

Cohen's d for two samples of one size (Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", section
2.2 and formula 2.3.2 for s): both models are read at the same positions. A change score is large where activations are
large; this one is free of their scale, and blind to a difference that changes its sign from token to token.
"""

from typing import Any

import numpy as np

from explorer.neurons.ranking import Ranking
from explorer.neurons.scores import ChangeScores

ROUNDING = 1e-3
"""Of the mean: deviations from sums of float32 squares, each right to 6e-8, are noise below about 2.4e-4 of it."""


def effect_size(seen: Ranking, meta: dict[str, Any]) -> ChangeScores:
    """The ranking by Cohen's d between the two models' activations.

    Args:
        seen: a contrast, of which means and standard deviations are read.
        meta: what the ranking is of.

    Returns:
        Scores without a unit, at least 0; 0 where neither model's activation varies by more than rounding does, since
        there is nothing to measure a difference by. Means and deviations are those of the contrast.
    """
    apart = np.abs(seen.mean2.astype(np.float64) - seen.mean1)
    spread = np.sqrt((seen.std1.astype(np.float64) ** 2 + seen.std2.astype(np.float64) ** 2) / 2)
    varies = spread > ROUNDING * np.maximum(np.abs(seen.mean1), np.abs(seen.mean2))
    scores = np.divide(apart, spread, out=np.zeros_like(apart), where=varies)
    return ChangeScores(
        scores=scores.astype(np.float32),
        count=seen.count,
        mean1=seen.mean1,
        mean2=seen.mean2,
        std1=seen.std1,
        std2=seen.std2,
        excluded_layers=seen.excluded_layers,
        label=f"effect size (Cohen's d); {seen.label}",
        meta=meta,
    )
