"""Rankings that need no second model (paper, appendix): what M1 alone, or M2 alone, does at the last prompt token.

- Prompt Difference: |mean activation on harmful prompts − mean activation on harmless ones|.
- Activation Variance: the standard deviation of the activation over harmful prompts (its square root ranks alike).

How like the paper's ranking they are, and what patching their top neurons does, is the table `identification`.
"""

from typing import Any

import numpy as np

from explorer.neurons.ranking import Ranking
from explorer.neurons.scores import ChangeScores


def _of(seen: Ranking, model: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of one model's activations, float32 [n_layers, n_neurons] each."""
    return (seen.mean1, seen.std1) if model == "m1" else (seen.mean2, seen.std2)


def prompt_difference(harmful: Ranking, harmless: Ranking, meta: dict[str, Any], model: str = "m1") -> ChangeScores:
    """The ranking by the difference of one model's means.

    Args:
        harmful, harmless: contrasts at the last prompt token, of which that model's means are read.
        meta: what the ranking is of.
        model: "m1" or "m2".

    Returns:
        Scores whose mean1 and std1 are those on harmless prompts, mean2 and std2 those on harmful ones.
    """
    (mean1, std1), (mean2, std2) = _of(harmless, model), _of(harmful, model)
    return ChangeScores(
        scores=np.abs(mean2 - mean1),
        count=harmful.count + harmless.count,
        mean1=mean1,
        mean2=mean2,
        std1=std1,
        std2=std2,
        excluded_layers=harmful.excluded_layers,
        label="prompt difference" if model == "m1" else f"prompt difference in {model.upper()}",
        meta=meta,
    )


def activation_variance(harmful: Ranking, meta: dict[str, Any], model: str = "m1") -> ChangeScores:
    """The ranking by the spread of one model's activation over harmful prompts; all means and spreads are that model's.

    Args:
        harmful: a contrast at the last prompt token.
        meta: what the ranking is of.
        model: "m1" or "m2".
    """
    mean, std = _of(harmful, model)
    return ChangeScores(
        scores=std,
        count=harmful.count,
        mean1=mean,
        mean2=mean,
        std1=std,
        std2=std,
        excluded_layers=harmful.excluded_layers,
        label="activation variance" if model == "m1" else f"activation variance in {model.upper()}",
        meta=meta,
    )
