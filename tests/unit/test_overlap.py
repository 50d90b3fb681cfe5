"""Overlap and ρ of two rankings against scipy, which sorts."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from explorer.errors import ExplorerError
from explorer.neurons.overlap import overlap, overlap_grid, shared_by_layer
from explorer.neurons.scores import ChangeScores
from tests.close import assert_close


def changes(seed: int, excluded: tuple[int, ...] = ()) -> ChangeScores:
    scores = np.random.default_rng(seed).gamma(1.0, 1.0, (4, 50)).astype(np.float32)
    return ChangeScores(scores, 10, *[np.zeros_like(scores)] * 4, excluded_layers=excluded)


@pytest.mark.parametrize("k", [1, 7, 60, 150])
@pytest.mark.parametrize("excluded", [(), (3,)])
def test_overlap_equals_what_sorting_gives(k, excluded):
    a, b = changes(0), changes(1, excluded)
    common = sorted(set(a.order[:k].tolist()) & set(b.order[:k].tolist()))
    found = overlap(a, b, k)
    assert (found.k, found.shared) == (k, len(common))
    assert found.overlap == len(common) / k
    if len(common) >= 3:
        wanted = spearmanr(a.ranks.reshape(-1)[common], b.ranks.reshape(-1)[common]).statistic
        assert_close(found.spearman, wanted, "float64", scale=1)
        assert_close(overlap(b, a, k).spearman, wanted, "float64", scale=1)
    else:
        assert np.isnan(found.spearman)


def test_a_ranking_is_wholly_like_itself():
    found = overlap(changes(2), changes(2), 100)
    assert (found.shared, found.overlap, found.spearman) == (100, 1.0, 1.0)


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [((), (), 1 / 200), ((), (3,), 150 / (200 * 150)), ((3,), (3,), 1 / 150), ((0,), (3,), 100 / 150**2)],
)
def test_chance_counts_only_layers_that_take_part(first, second, share):
    a, b = changes(0, first), changes(1, second)
    assert overlap(a, b, 20).chance == pytest.approx(20 * share, rel=1e-12)
    grid = overlap_grid(a, b, [0.1, 0.5])
    assert grid["chance"].tolist() == pytest.approx([20 * share, 100 * share, 100 * share, 100 * share], rel=1e-12)


def test_random_sets_share_what_chance_says():
    a, b = changes(0, (0,)), changes(1, (3,))
    rng = np.random.default_rng(0)
    shared = [len(set(rng.permutation(a.order)[:30]) & set(rng.permutation(b.order)[:30])) / 30 for _ in range(400)]
    assert np.mean(shared) == pytest.approx(overlap(a, b, 30).chance, rel=0.1)


def test_what_a_set_shares_with_other_rankings_layer_by_layer():
    a, b = changes(1), changes(2)
    ns = a.top(40)
    cells = shared_by_layer(ns, {"a": a, "b": b})
    whole = cells[cells["layer"] == -1].set_index("ranking")
    assert whole.loc["a", "share"] == 1
    assert whole.loc["b", "share"] == overlap(a, b, 40).overlap
    assert whole.loc["b", "chance"] == pytest.approx(overlap(a, b, 40).chance)
    mine = cells[(cells["ranking"] == "b") & (cells["layer"] >= 0)]
    both = (ns & b.top(40)).per_layer()
    assert mine["shared"].tolist() == both.tolist()
    assert mine["patched"].tolist() == ns.per_layer().tolist()
    empty = ns.per_layer() == 0
    assert mine["share"].isna().tolist() == empty.tolist()


def test_a_set_is_compared_with_rankings_of_its_own_model():
    other = np.zeros((2, 5), dtype=np.float32)
    with pytest.raises(ExplorerError, match="different models"):
        shared_by_layer(changes(1).top(4), {"c": ChangeScores(other, 10, *[other] * 4)})
