"""How a change of the refusal margin divides into a direct part, attention's and MLPs', so that they add up.

Let v(F) be the change of patched M1's margin, from M1's, when the paths in F react to the patch while the others stay
M1's. With nothing reacting, what the patched neurons write reaches the final norm alone: v(∅) is the **direct** part.
With everything reacting, v is the **whole**. The rest of the whole is divided by what freeing a path adds, averaged
over the orders in which paths can be freed (Shapley 1953):

    attention = ½ [v(attention) − v(∅)] + ½ [v(all) − v(MLPs)]
    MLPs      = ½ [v(MLPs) − v(∅)]      + ½ [v(all) − v(attention)]

and attention's part by the same rule between patterns (QK) and values (OV), which are freed next to each other in every
order (Owen 1977), so that both add up to it. What two paths do only together is their **interaction**, half of which is
in either's part:

    interaction = v(all) − v(attention) − v(MLPs) + v(∅)
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from explorer.studies.statistics import causal_effect, paired_difference

PATTERNS, VALUES, MLPS = "patterns", "values", "mlps"
"""As in `engine.keeping`, which imports torch."""

ATTENTION = frozenset((PATTERNS, VALUES))
ALL = frozenset((PATTERNS, VALUES, MLPS))

CHOICES = tuple(frozenset(kept) for size in range(4) for kept in combinations((PATTERNS, VALUES, MLPS), size))
"""Every choice of what stays M1's: nothing first, everything last."""

SUMMANDS = ("direct", PATTERNS, VALUES, MLPS)
"""Parts that add up to the whole."""

PARTS = (*SUMMANDS, "attention", "whole", "interaction", "interaction_in_attention")
"""All parts: attention is patterns and values together; the interactions are of attention with MLPs, and of patterns
with values."""

WAYS: Mapping[str, frozenset[str]] = {
    "nothing": frozenset(),
    PATTERNS: frozenset((PATTERNS,)),
    VALUES: frozenset((VALUES,)),
    "attention": ATTENTION,
    MLPS: frozenset((MLPS,)),
    "everything": ALL,
}
"""What stays M1's, in the restrictions that are shown and answered with."""


def parts_of(changes: Mapping[frozenset[str], np.ndarray]) -> dict[str, np.ndarray]:
    """The parts by name, in the order of `PARTS`.

    Args:
        changes: the change of the margin [n] by what stays M1's: every subset of the three paths.
    """

    def free(*paths: str) -> np.ndarray:
        return changes[ALL - set(paths)]

    none, all_free = free(), free(*ALL)
    patterns, values, mlps, attention = free(PATTERNS), free(VALUES), free(MLPS), free(*ATTENTION)
    with_patterns, with_values = free(MLPS, PATTERNS), free(MLPS, VALUES)
    by_patterns = (patterns - none + attention - values + with_patterns - mlps + all_free - with_values) / 4
    by_values = (values - none + attention - patterns + with_values - mlps + all_free - with_patterns) / 4
    return {
        "direct": none,
        PATTERNS: by_patterns,
        VALUES: by_values,
        MLPS: (mlps - none + all_free - attention) / 2,
        "attention": by_patterns + by_values,
        "whole": all_free,
        "interaction": all_free - attention - mlps + none,
        "interaction_in_attention": (
            attention - patterns - values + none + all_free - with_patterns - with_values + mlps
        )
        / 2,
    }


def change_cells(change: np.ndarray, whole: np.ndarray) -> dict[str, float]:
    """A change of the margin over prompts and its share of the whole change, each with its interval, as table cells.

    Args:
        change, whole: [n], in logits.

    Returns:
        margin and share, with _low and _high; the share is of the means, and nan where the whole is not
        distinguishable from 0.
    """
    nothing = np.zeros_like(whole)
    return paired_difference(nothing, change).columns("margin") | causal_effect(nothing, change, whole).columns("share")
