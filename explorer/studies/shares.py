"""Intervals and a test of shares (yes or no a prompt) that hold for small counts: 0 of 112 is not [0, 0].

Wilson's interval of a share, Newcombe's of the difference of two shares over the same prompts, McNemar's exact test.
"""

from math import sqrt

import numpy as np

Z = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""


def is_share(*samples: np.ndarray) -> bool:
    """Whether all values are 0 or 1, so that their mean is a share."""
    return all(bool(((s == 0) | (s == 1)).all()) for s in samples)


def wilson(count: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of `count` of `n` > 0 (Wilson 1927); never of width 0."""
    p, z2 = count / n, Z * Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # the bounds of none and of all are exact, whatever rounding does to the formula
    return (0.0 if count == 0 else centre - half), (1.0 if count == n else centre + half)


def newcombe(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Newcombe's 95 % interval of share(second) − share(first) over the same prompts.

    Method 10 of Newcombe 1998 (Statistics in Medicine 17, 2635–2650): both shares' Wilson bounds, joined by the
    correlation φ of the answers, which is corrected for continuity. Never of width 0.

    Args:
        first, second: [n] of 0 and 1, n > 0, in the same order.
    """
    n = len(first)
    x, y = first > 0, second > 0
    both, neither = int((x & y).sum()), int((~x & ~y).sum())
    only_x, only_y = int((x & ~y).sum()), int((~x & y).sum())
    p, q = (both + only_x) / n, (both + only_y) / n
    (p_low, p_high), (q_low, q_high) = wilson(both + only_x, n), wilson(both + only_y, n)
    product = float(both * neither - only_x * only_y)
    if product > 0:
        product = max(product - n / 2, 0)
    size = sqrt((both + only_x) * (only_y + neither) * (both + only_y) * (only_x + neither))
    phi = product / size if size else 0.0

    def reach(a: float, b: float) -> float:
        return sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    return (q - p) - reach(q - q_low, p_high - p), (q - p) + reach(q_high - q, p - p_low)


def mcnemar_p(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p of McNemar's exact test: the prompts that changed, against a fair coin; 1 where none did."""
    from scipy.stats import binomtest

    up, down = int((second > first).sum()), int((second < first).sum())
    return float(binomtest(up, up + down, 0.5).pvalue) if up + down else 1.0
