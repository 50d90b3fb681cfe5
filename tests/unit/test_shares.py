"""Intervals and tests of shares against values worked out by hand, and against how often they should hold."""

import numpy as np
import pytest

from explorer.studies.shares import is_share, mcnemar_p, newcombe, wilson
from explorer.studies.statistics import holm, mean, paired_difference, paired_p
from tests.close import assert_close


def answers(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Two columns of yes and no with so many prompts of each kind."""
    counts = (both, first, second, neither)
    return np.repeat([1.0, 1.0, 0.0, 0.0], counts), np.repeat([1.0, 0.0, 1.0, 0.0], counts)


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        (0, 112, 0.0, 0.0331615),  # z² / (n + z²)
        (112, 112, 1 - 0.0331615, 1.0),
        (0, 16, 0.0, 0.1936076),
        (8, 10, 0.4901625, 0.9433178),
        (15, 148, 0.0624, 0.1605),  # Newcombe 1998, Statistics in Medicine 17, 857–872, table I
        (81, 263, 0.2553, 0.3662),  # the same
    ],
)
def test_wilson(count, n, low, high):
    found = wilson(count, n)
    assert found == pytest.approx((low, high), abs=6e-5)
    assert mean(np.repeat([1.0, 0.0], [count, n - count])).low == found[0]


def test_a_difference_of_nothing_has_a_width():
    none = np.zeros(112)
    assert newcombe(none, none) == pytest.approx((-0.0331615, 0.0331615), rel=1e-5)
    low, high = newcombe(*answers(56, 0, 0, 56))
    assert low < 0 < high < 0.03


def test_newcombe_by_hand():
    """n = 20, 5 both, 1 first only, 8 second only, 6 neither: shares 0.3 and 0.65, φ = (30 − 8 − 10) / √(6·14·13·7)."""
    first, second = answers(5, 1, 8, 6)
    (p_low, p_high), (q_low, q_high) = wilson(6, 20), wilson(13, 20)
    phi = 12 / np.sqrt(6 * 14 * 13 * 7)
    a, b = 0.65 - q_low, p_high - 0.3
    c, d = q_high - 0.65, 0.3 - p_low
    low = 0.35 - np.sqrt(a * a - 2 * phi * a * b + b * b)
    high = 0.35 + np.sqrt(c * c - 2 * phi * c * d + d * d)
    assert newcombe(first, second) == pytest.approx((low, high), rel=1e-12)
    found = paired_difference(first, second)
    assert (found.low, found.high) == newcombe(first, second)
    back = newcombe(second, first)
    assert back == pytest.approx((-high, -low), rel=1e-12)


@pytest.mark.parametrize("rates", [(0.02, 0.03), (0.0, 0.01), (0.3, 0.2), (0.01, 0.5)])
def test_newcombe_holds_about_as_often_as_it_says(rates):
    """Independent changes of 100 prompts: first only and second only at these rates, others alike."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        kind = rng.choice(3, size=100, p=[rates[0], rates[1], 1 - sum(rates)])
        alike = rng.random(100) < 0.3
        first = np.where(kind == 0, 1.0, np.where(kind == 1, 0.0, alike))
        second = np.where(kind == 1, 1.0, np.where(kind == 0, 0.0, alike))
        low, high = newcombe(first, second)
        held += low <= rates[1] - rates[0] <= high
    assert held / 400 > 0.92


def test_mcnemar_counts_the_prompts_that_changed():
    assert mcnemar_p(*answers(30, 1, 9, 60)) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar_p(*answers(30, 0, 0, 60)) == 1.0
    assert paired_p(*answers(0, 0, 112, 0)) == pytest.approx(2 * 0.5**112)


def test_a_test_without_spread_is_not_certain():
    assert paired_p(np.full(5, 2.5), np.full(5, 1.5)) == 2 / 2**5
    assert paired_p(np.full(5, 2.5), np.full(5, 2.5)) == 1.0
    assert np.isnan(paired_p(np.ones(2), np.zeros(2)))


def test_holm_by_hand():
    found = holm(np.array([[0.01, 0.04, np.nan], [0.03, 0.5, np.nan]]))
    wanted = np.array([[0.04, 0.09, np.nan], [0.09, 0.5, np.nan]])
    assert_close(found, wanted, "float64")
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_shares_are_told_from_other_scores():
    assert is_share(np.array([0.0, 1.0]), np.array([1.0]))
    assert not is_share(np.array([0.0, 0.5]))
