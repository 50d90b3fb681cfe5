"""How alike two rankings are: overlap of their top sets, and Spearman's ρ over the neurons they share.

Overlap of top sets is high for any two adapters of one model, so chance and ρ belong beside it
(method.md, "Overlap and the alignment tax").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.errors import ExplorerError
from explorer.neurons.ranking import Ranking, count_of
from explorer.neurons.sets import NeuronSet


@dataclass(frozen=True)
class Overlap:
    """The likeness of two rankings' top k.

    Attributes:
        k: neurons in each top set.
        shared: neurons in both.
        overlap: shared / k.
        chance: what random sets of that size would share on average, each drawn from the layers that its ranking keeps;
            k / N where none is left out.
        spearman: ρ of the two ranks over the shared neurons; nan with fewer than 3.
    """

    k: int
    shared: int
    overlap: float
    chance: float
    spearman: float


def overlap(a: Ranking, b: Ranking, k: int) -> Overlap:
    """The likeness of the top k of two rankings of one model.

    Raises:
        ExplorerError: the rankings are of different models, or k is out of range.
    """
    _same_model(a, b)
    total = min(len(a.order), len(b.order))
    if not 1 <= k <= total:
        raise ExplorerError(f"k must be 1 to {total:,} neurons, not {k:,}.")
    best = a.order[:k]
    ranks = b.ranks.reshape(-1)[best]  # by rank in a; 0 where b leaves the layer out
    ranks = ranks[(ranks > 0) & (ranks <= k)]
    m = len(ranks)
    return Overlap(k, m, m / k, chance(a, b, k), _spearman(ranks, k))


def chance(a: Ranking, b: Ranking, k: int) -> float:
    """The share of a random set from `a`'s layers that `k` random neurons from `b`'s layers hold on average.

    k · |A ∩ B| / (|A| · |B|), with A and B the neurons that take part in either ranking. Where the two sets differ in
    size, the share of the smaller one follows from the size `k` of the larger.
    """
    common = int(((a.ranks > 0) & (b.ranks > 0)).sum())
    return k * common / (len(a.order) * len(b.order))


def _spearman(ranks: np.ndarray, k: int) -> float:
    """ρ of distinct ranks from 1 to `k`, int64 [m], against 1, 2, …, m; nan with fewer than 3. Sorts nothing."""
    m = len(ranks)
    if m < 3:
        return float("nan")
    place = np.zeros(k + 1, dtype=np.int64)
    place[ranks] = 1
    np.cumsum(place, out=place)
    distance = (place[ranks] - np.arange(1, m + 1)).astype(np.float64)
    return float(1 - 6 * (distance @ distance) / (m * (m**2 - 1)))


def overlap_by_k(a: Ranking, b: Ranking, fractions: Sequence[float]) -> pd.DataFrame:
    """Overlap against the size of the top sets: columns fraction, k, shared, overlap, chance, spearman."""
    rows = []
    for fraction in fractions:
        k = max(1, count_of(fraction, a.total_neurons))
        rows.append({"fraction": fraction, **vars(overlap(a, b, min(k, len(a.order), len(b.order))))})
    return pd.DataFrame(rows)


def overlap_grid(a: Ranking, b: Ranking, fractions: Sequence[float]) -> pd.DataFrame:
    """Every top set of `a` against every top set of `b`.

    Columns: fraction_a, fraction_b, k_a, k_b, shared, overlap (shared / the smaller set), chance
    (of sets drawn from the layers that take part, see `chance`).
    """
    _same_model(a, b)
    counts = [max(1, count_of(f, a.total_neurons)) for f in fractions]
    rank_a, rank_b = a.ranks.reshape(-1), b.ranks.reshape(-1)
    ranked = (rank_a > 0) & (rank_b > 0)
    even = chance(a, b, 1)
    rows = []
    for fraction_a, k_a in zip(fractions, counts, strict=True):
        inside = rank_b[ranked & (rank_a <= k_a)]
        for fraction_b, k_b in zip(fractions, counts, strict=True):
            shared = int((inside <= k_b).sum())
            rows.append(
                {
                    "fraction_a": fraction_a,
                    "fraction_b": fraction_b,
                    "k_a": k_a,
                    "k_b": k_b,
                    "shared": shared,
                    "overlap": shared / min(k_a, k_b),
                    "chance": max(k_a, k_b) * even,
                }
            )
    return pd.DataFrame(rows)


def overlap_by_layer(a: Ranking, b: Ranking, fraction: float) -> pd.DataFrame:
    """Where the two top sets lie.

    Columns layer, only_a, only_b, both, in_a, in_b, jaccard (both / either; nan for none).
    """
    _same_model(a, b)
    first, second = a.top(fraction=fraction).mask(), b.top(fraction=fraction).mask()
    both, either = (first & second).sum(axis=1), (first | second).sum(axis=1)
    with np.errstate(invalid="ignore"):
        jaccard = np.where(either > 0, both / np.maximum(either, 1), np.nan)
    return pd.DataFrame(
        {
            "layer": np.arange(a.n_layers),
            "only_a": (first & ~second).sum(axis=1),
            "only_b": (second & ~first).sum(axis=1),
            "both": both,
            "in_a": first.sum(axis=1),
            "in_b": second.sum(axis=1),
            "jaccard": jaccard,
        }
    )


def shared_by_layer(ns: NeuronSet, rankings: Mapping[str, Ranking]) -> pd.DataFrame:
    """How many neurons of a set other rankings' top sets of the same size hold, layer by layer and in all.

    Args:
        ns: any set.
        rankings: by name, of the same model.

    Returns:
        Columns ranking, layer (−1 for all layers together), patched (neurons of the set there), shared (of them in the
        ranking's top), share (shared / patched; nan where there are none) and chance (what random sets of that size
        would share on average).

    Raises:
        ExplorerError: a ranking is of another model.
    """
    per_layer, flat = ns.per_layer(), ns.flat()
    frames = []
    for name, ranking in rankings.items():
        if ranking.scores.shape != (ns.n_layers, ns.n_neurons):
            raise ExplorerError("The set and the ranking are of different models; compare those of one model.")
        ranks = ranking.ranks.reshape(-1)[flat]
        inside = (ranks > 0) & (ranks <= len(ns))
        shared = np.bincount(ns.layers[inside], minlength=ns.n_layers)
        held = np.append(len(ns), per_layer)
        both = np.append(shared.sum(), shared)
        takes_part = np.append((ranks > 0).sum(), np.bincount(ns.layers[ranks > 0], minlength=ns.n_layers))
        even = min(1.0, len(ns) / max(1, len(ranking.order)))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(held > 0, both / held, np.nan)
            chance = np.where(held > 0, even * takes_part / held, np.nan)
        layers = np.arange(-1, ns.n_layers)
        columns = {"layer": layers, "patched": held, "shared": both, "share": share, "chance": chance}
        frames.append(pd.DataFrame({"ranking": name, **columns}))
    return pd.concat(frames, ignore_index=True)


def layer_share(changes: Ranking, fractions: Sequence[float]) -> pd.DataFrame:
    """What share of each top set lies in each layer: columns fraction, layer, neurons, share."""
    rows = []
    for fraction in fractions:
        ns = changes.top(fraction=fraction)
        counts = ns.per_layer()
        rows.append(
            pd.DataFrame(
                {
                    "fraction": fraction,
                    "layer": np.arange(changes.n_layers),
                    "neurons": counts,
                    "share": counts / max(1, len(ns)),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def _same_model(a: Ranking, b: Ranking) -> None:
    if a.scores.shape != b.scores.shape:
        raise ExplorerError("These rankings are of different models; compare rankings of one model.")
