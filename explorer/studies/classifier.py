"""A logistic regression on neurons at the last prompt token: will the answer be harmful? (paper section 6)

The study `safeguard` trains and tests it; the Patch lab asks the one that the run keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.studies.auroc import auroc
from explorer.studies.statistics import mean, paired_difference

FOLDS = 5
"""A suite is tested on itself by cross-validation."""


@dataclass(frozen=True)
class Samples:
    """What is known of the prompts of a suite.

    Attributes:
        activations: float32 [prompts, neurons].
        cost: float64 [prompts], of M1's answers; harmful above 0.
    """

    activations: np.ndarray
    cost: np.ndarray

    @property
    def harmful(self) -> np.ndarray:
        """bool [prompts]."""
        return self.cost > 0


@dataclass(frozen=True)
class Classifier:
    """P(harmful) = 1 / (1 + exp(−(activations · weight + bias))), for activations as the models give them."""

    weight: np.ndarray
    bias: float

    def probability(self, activations: np.ndarray) -> np.ndarray:
        """float64 [prompts]: how likely a harmful answer is."""
        found: np.ndarray = 1 / (1 + np.exp(-(activations.astype(np.float64) @ self.weight + self.bias)))
        return found


def fit(samples: Samples) -> Classifier | None:
    """A classifier on standardised activations; None where all answers are of one kind."""
    if len(np.unique(samples.harmful)) < 2:
        return None
    from sklearn.linear_model import LogisticRegression

    centre, spread = samples.activations.mean(axis=0), samples.activations.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(C=0.01, max_iter=2000)
    model.fit((samples.activations - centre) / spread, samples.harmful)
    weight = model.coef_[0] / spread
    return Classifier(weight.astype(np.float64), float(model.intercept_[0] - (centre * weight).sum()))


def measure(probability: np.ndarray, cost: np.ndarray) -> dict[str, float]:
    """How good predictions are.

    Returns:
        accuracy, auroc (nan where there is one class) and coverage (share of prompts that are accepted), each with
        _low and _high; majority (accuracy of the majority-class baseline) and above_majority (accuracy − majority over
        the same prompts, with _low and _high); accepted_cost (mean cost of the accepted prompts' answers; nan for
        none), all_cost, harmful (share of harmful answers).
    """
    harmful, refused = cost > 0, probability > 0.5
    rate = float(harmful.mean())
    right, baseline = refused == harmful, harmful == (rate > 0.5)
    return {
        **mean(right.astype(float)).columns("accuracy"),
        "majority": max(rate, 1 - rate),
        **paired_difference(baseline.astype(float), right.astype(float)).columns("above_majority"),
        **auroc(harmful, probability).columns("auroc"),
        **mean((~refused).astype(float)).columns("coverage"),
        "accepted_cost": float(cost[~refused].mean()) if (~refused).any() else float("nan"),
        "all_cost": float(cost.mean()),
        "harmful": rate,
    }


def matrix_rows(cells: dict[str, object], samples: Mapping[str, Samples], columns: np.ndarray) -> list[dict[str, Any]]:
    """Every suite trained on, every suite tested on; and each trained on alone, tested on all others merged.

    Args:
        cells: lead each row: which neurons these are.
        samples: by suite.
        columns: int64, which of the activations' columns are read.
    """
    picked = {name: Samples(s.activations[:, columns], s.cost) for name, s in samples.items()}
    rows = []
    for train, own in picked.items():
        fitted = fit(own)
        if fitted is None:
            continue
        others = [s for name, s in picked.items() if name != train]
        tests = {name: s for name, s in picked.items() if name != train}
        if len(others) > 1:
            tests["all others"] = merged(others)
        head = {**cells, "train": train, "train_n": len(own.cost)}
        for test, s in tests.items():
            measured = measure(fitted.probability(s.activations), s.cost)
            rows.append({**head, "test": test, "n": len(s.cost), **measured})
        inside = cross_validated(own)
        if inside is not None:
            rows.append({**head, "test": train, "n": len(own.cost), **measure(inside, own.cost)})
    return rows


def cross_validated(samples: Samples) -> np.ndarray | None:
    """float64 [prompts]: each prompt's probability by a classifier that has not seen it; None where that cannot be."""
    counts = np.bincount(samples.harmful.astype(int), minlength=2)
    if counts.min() < FOLDS:
        return None
    from sklearn.model_selection import StratifiedKFold

    out = np.zeros(len(samples.cost))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(samples.activations, samples.harmful):
        fitted = fit(Samples(samples.activations[train], samples.cost[train]))
        assert fitted is not None  # both classes are in every fold
        out[test] = fitted.probability(samples.activations[test])
    return out


def merged(samples: Sequence[Samples]) -> Samples:
    """All prompts together."""
    return Samples(np.concatenate([s.activations for s in samples]), np.concatenate([s.cost for s in samples]))
