"""Shared and specific neurons of two rankings, and what they can be set to (table `ablation`).

Can safety and helpfulness be moved apart? Activations of either aligned model are put into M1; in the aligned model A
the same neurons are held at zero, or at their mean over M1's answers.
"""

import numpy as np

from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet

SETS = ("shared", "only_a", "only_b")
"""In both top sets, only in A's, only in B's."""


def parts_of(a: Ranking, b: Ranking, fraction: float) -> dict[str, NeuronSet]:
    """The three sets of `SETS` for top sets of one size."""
    first, second = a.top(fraction=fraction), b.top(fraction=fraction)
    found = (first & second, first - second, second - first)
    return {name: ns.relabel(name.replace("_", " ")) for name, ns in zip(SETS, found, strict=True)}


def means_at(changes: Ranking, ns: NeuronSet) -> np.ndarray:
    """float32 [k]: M1's mean activations of a set, over the positions that the ranking compared."""
    return changes.mean1[ns.layers, ns.neurons].astype(np.float32)
