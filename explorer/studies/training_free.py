"""Rankings that need no aligned model (paper, appendix): what M1 alone does at the last prompt token.

- Prompt Difference: |mean activation on harmful prompts − mean activation on harmless ones|.
- Activation Variance: the standard deviation of the activation over harmful prompts (its square root ranks alike).

How like the paper's ranking they are, and what patching their top neurons does, is the table `identification`.
"""

from typing import Any

import numpy as np
import pandas as pd

from explorer.neurons.overlap import overlap
from explorer.neurons.ranking import Ranking, count_of
from explorer.neurons.scores import ChangeScores

METHODS = ("prompt_difference", "activation_variance")


def prompt_difference(harmful: Ranking, harmless: Ranking, meta: dict[str, Any]) -> ChangeScores:
    """The ranking by the difference of M1's means.

    Args:
        harmful, harmless: contrasts at the last prompt token, of which M1's means are read.
        meta: what the ranking is of.

    Returns:
        Scores whose mean1 and std1 are those on harmless prompts, mean2 and std2 those on harmful ones.
    """
    return ChangeScores(
        scores=np.abs(harmful.mean1 - harmless.mean1),
        count=harmful.count + harmless.count,
        mean1=harmless.mean1,
        mean2=harmful.mean1,
        std1=harmless.std1,
        std2=harmful.std1,
        excluded_layers=harmful.excluded_layers,
        label="prompt difference",
        meta=meta,
    )


def activation_variance(harmful: Ranking, meta: dict[str, Any]) -> ChangeScores:
    """The ranking by the spread of M1's activation over harmful prompts; means and spreads are M1's throughout."""
    return ChangeScores(
        scores=harmful.std1,
        count=harmful.count,
        mean1=harmful.mean1,
        mean2=harmful.mean1,
        std1=harmful.std1,
        std2=harmful.std1,
        excluded_layers=harmful.excluded_layers,
        label="activation variance",
        meta=meta,
    )


def identification_table(
    reference: Ranking, others: dict[str, Ranking], fractions: tuple[float, ...], effects: pd.DataFrame
) -> pd.DataFrame:
    """Each ranking beside the reference.

    Args:
        reference: the paper's ranking.
        others: the rankings that are compared, by name.
        fractions: sizes of the top sets.
        effects: columns ranking, fraction, and what `patched_scores` gives.

    Returns:
        Columns ranking, fraction, k, shared, overlap, chance, spearman, and those of `effects`.
    """
    rows = []
    for name, scores in others.items():
        for fraction in fractions:
            k = max(1, count_of(fraction, reference.scores.size))
            rows.append({"ranking": name, "fraction": fraction, **vars(overlap(reference, scores, k))})
    return pd.DataFrame(rows).merge(effects.drop(columns="k", errors="ignore"), on=["ranking", "fraction"], how="left")
