"""Likeness of rankings against the size of the top set: of one recipe's seeds (table `seeds`), of all (`overlap`)."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import pandas as pd

from explorer.neurons.fractions import CURVE
from explorer.neurons.overlap import overlap_by_k
from explorer.neurons.ranking import Ranking


def likeness_table(rankings: Mapping[str, Ranking], fractions: Sequence[float] = CURVE) -> pd.DataFrame:
    """Every pair of rankings: columns a, b, fraction, k, shared, overlap, chance, spearman."""
    frames = []
    for a, b in combinations(rankings, 2):
        found = overlap_by_k(rankings[a], rankings[b], fractions)
        found.insert(0, "b", b)
        found.insert(0, "a", a)
        frames.append(found)
    empty = pd.DataFrame(columns=["a", "b", "fraction", "k", "shared", "overlap", "chance", "spearman"])
    return pd.concat(frames, ignore_index=True) if frames else empty
