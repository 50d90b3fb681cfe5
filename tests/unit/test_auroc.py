"""The area under the curve, and its intervals over answers and over questions."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from explorer.studies.auroc import auroc


def test_it_is_the_area_with_ties_counted_half():
    assert auroc(np.array([1, 1, 0, 0]), np.array([3.0, 1.0, 1.0, 0.0])).value == 3.5 / 4
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(2, size=300), rng.normal(size=300).round(1)
    found = auroc(labels, scores)
    assert found.value == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
    assert found.low < found.value < found.high


def test_one_class_alone_has_no_area():
    assert not auroc(np.ones(4), np.arange(4)).known


def test_questions_are_resampled_not_answers():
    """20 questions of 50 answers that share a shift: as uncertain as 20 answers, not as 1,000."""
    rng = np.random.default_rng(1)
    questions = np.repeat(np.arange(20), 50)
    labels = np.tile([0, 1], 500)
    shift = rng.normal(0, 3, 20)[questions] * labels
    scores = labels * 1.5 + shift + rng.normal(size=1000)
    alone, together = auroc(labels, scores), auroc(labels, scores, questions.tolist())
    assert together.value == alone.value
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_a_perfect_order_is_not_certain():
    found = auroc(np.array([0, 0, 0, 0, 1, 1, 1]), np.arange(7.0))
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(3 / (3 + 1.959964**2), rel=1e-6)  # Wilson's 3 of 3
    turned = auroc(np.array([1, 1, 1, 0, 0, 0, 0]), np.arange(7.0))
    assert (turned.value, turned.high) == (0.0, pytest.approx(1 - found.low))
