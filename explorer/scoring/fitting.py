"""How the demo's score heads are fitted: what they read and how strictly, chosen by cross-validation.

A candidate is a reading (which layers, pooled how, with or without the prompt) and a regulariser. Folds keep a
question's answers together, so every candidate is judged on questions it has not seen.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from explorer.scoring.features import LAYERS, POOLS, Reading
from explorer.scoring.head import Head

LAYER_SETS = ((14,), (22,), (10, 18), (14, 22), LAYERS)
POOL_SETS = (("mean",), ("last",), POOLS)
STRENGTHS = (3e-5, 3e-4, 3e-3, 1e-2)
"""Inverse regularisers C of the logistic regression on standardised features."""

FOLDS = 5


@dataclass(frozen=True)
class Texts:
    """Answers with what people say of them.

    Attributes:
        name: of the source.
        alone, prompted: float32 [n, len(LAYERS), len(POOLS), hidden]: features of the answer alone, and after its
            prompt; None where the source does not tell the prompts, or where the answer alone is not wanted.
        labels: int [n].
        groups: [n] the question each answer belongs to.
    """

    name: str
    alone: np.ndarray | None
    prompted: np.ndarray | None
    labels: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Chosen:
    """What cross-validation chose.

    Attributes:
        head: fitted on all of the data.
        strength: C.
        scores: mean held-out score of the choice by source.
        tried: rows of every candidate with its scores.
        out_of_fold: held-out scores of the choice's answers, by source.
    """

    head: Head
    strength: float
    scores: dict[str, float]
    tried: list[dict[str, Any]]
    out_of_fold: dict[str, np.ndarray]


def readings(tokens: int, prompt: Sequence[bool] = (False, True)) -> list[Reading]:
    """Every reading of so many tokens of the answer that is tried."""
    return [
        Reading(layers, pools, with_prompt, tokens)
        for with_prompt, layers, pools in itertools.product(prompt, LAYER_SETS, POOL_SETS)
    ]


def fit_cost(sources: Sequence[Texts], candidates: Sequence[Reading], say: Callable[[str], None] = print) -> Chosen:
    """The logistic head whose held-out AUROC, averaged over the sources, is best; its output is calibrated log-odds.

    Calibration (Platt): a line through the held-out scores, each source counting the same.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    def auroc(source: Texts, held_out: np.ndarray) -> float:
        return float(roc_auc_score(source.labels, held_out))

    best = _choose(sources, candidates, _logistic, features_of, lambda s: s.groups, auroc, say)
    scale = LogisticRegression(C=1e6)
    counts = np.concatenate([np.full(len(s.labels), 1 / len(s.labels)) for s in sources])
    scores_out = np.concatenate([best.out_of_fold[s.name] for s in sources])
    scale.fit(scores_out[:, None], np.concatenate([s.labels for s in sources]), sample_weight=counts * len(counts))
    slope, shift = float(scale.coef_[0, 0]), float(scale.intercept_[0])
    head = replace(best.head, weight=(best.head.weight * slope).astype(np.float32), bias=best.head.bias * slope + shift)
    calibrated = {name: values * slope + shift for name, values in best.out_of_fold.items()}
    return replace(best, head=head, out_of_fold=calibrated)


def fit_reward(sources: Sequence[Texts], candidates: Sequence[Reading], say: Callable[[str], None] = print) -> Chosen:
    """The Bradley–Terry head whose held-out accuracy, averaged over the sources, is best.

    Args:
        sources: answers in pairs, the chosen one first; labels are not read.
        candidates: what may be read.
        say: told about each candidate.
    """

    def accuracy(_source: Texts, held_out: np.ndarray) -> float:
        return float((held_out > 0).mean())

    return _choose(sources, candidates, _preference, _differences, lambda s: s.groups[::2], accuracy, say)


Part = tuple[Texts, np.ndarray]
"""A source, and which of its answers (or pairs) a head is fitted on: bool [n]."""


def _choose(
    sources: Sequence[Texts],
    candidates: Sequence[Reading],
    fit: Callable[[Sequence[Part], float, Reading], Head],
    features: Callable[[Texts, Reading], np.ndarray],
    groups: Callable[[Texts], np.ndarray],
    score: Callable[[Texts, np.ndarray], float],
    say: Callable[[str], None],
) -> Chosen:
    """The candidate whose held-out score, averaged over the sources, is best, fitted on all of the data.

    Args:
        sources: the data.
        candidates: each is tried with each of `STRENGTHS`.
        fit: a head on parts of the sources.
        features: what the head is applied to, [n, features]; of pairs, one row a pair.
        groups: the question of each of these rows.
        score: of a source's held-out scores.
        say: told about each candidate.
    """
    folds = [_fold_of(groups(s)) for s in sources]
    best: Chosen | None = None
    tried = []
    for reading, strength in itertools.product(candidates, STRENGTHS):
        held_out = {s.name: np.zeros(len(fold)) for s, fold in zip(sources, folds, strict=True)}
        for number in range(FOLDS):
            parts = [(s, fold != number) for s, fold in zip(sources, folds, strict=True)]
            head = fit(parts, strength, reading)
            for source, inside in parts:
                held_out[source.name][~inside] = head.apply(features(source, reading)[~inside])
        scores = {s.name: score(s, held_out[s.name]) for s in sources}
        tried.append(
            {"layers": reading.layers, "pools": reading.pools, "prompt": reading.prompt, "C": strength} | scores
        )
        say(f"{reading} C={strength:g}: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
        if best is None or sum(scores.values()) > sum(best.scores.values()):
            best = Chosen(head, strength, scores, [], held_out)
    assert best is not None
    whole = [(s, np.ones(len(fold), bool)) for s, fold in zip(sources, folds, strict=True)]
    return replace(best, head=fit(whole, best.strength, best.head.reading), tried=tried)


def features_of(source: Texts, reading: Reading, prompt: bool | None = None) -> np.ndarray:
    """float32 [n, features] of a reading; the answer alone where the source does not tell its prompts."""
    wanted = reading.prompt if prompt is None else prompt
    values = source.prompted if wanted and source.prompted is not None else source.alone
    assert values is not None
    layers, pools = [LAYERS.index(at) for at in reading.layers], [POOLS.index(pool) for pool in reading.pools]
    return np.ascontiguousarray(values[:, layers][:, :, pools].reshape(len(values), -1), dtype=np.float32)


def _differences(source: Texts, reading: Reading) -> np.ndarray:
    x = features_of(source, reading)
    return x[::2] - x[1::2]


def _together(parts: Sequence[Part], reading: Reading) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a fold is fitted on: a head that reads prompts also sees each answer alone, in case there is none.

    Every source counts the same.
    """
    xs, ys, weights = [], [], []
    for source, inside in parts:
        both = reading.prompt and source.prompted is not None and source.alone is not None
        for prompt in (True, False) if both else (reading.prompt,):
            xs.append(features_of(source, reading, prompt)[inside])
            ys.append(source.labels[inside])
            weights.append(np.full(int(inside.sum()), 1 / inside.sum() / (2 if both else 1)))
    weight = np.concatenate(weights)
    return np.concatenate(xs), np.concatenate(ys), weight * len(weight) / weight.sum()


def _logistic(parts: Sequence[Part], strength: float, reading: Reading) -> Head:
    from sklearn.linear_model import LogisticRegression

    x, y, weights = _together(parts, reading)
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    fitted = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit((x - mean) / spread, y, sample_weight=weights)
    weight = fitted.coef_[0] / spread
    return Head(reading, weight.astype(np.float32), float(fitted.intercept_[0] - (weight * mean).sum()))


def _preference(parts: Sequence[Part], strength: float, reading: Reading) -> Head:
    """Logistic regression through the origin on differences, and on their negatives, so both classes are there."""
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([_differences(source, reading)[inside] for source, inside in parts])
    weights = np.concatenate([np.full(int(inside.sum()), 1 / inside.sum()) for _, inside in parts])
    weights = np.tile(weights * len(weights) / weights.sum(), 2) / 2
    spread = x.std(axis=0) + 1e-6
    both = np.concatenate([x, -x]) / spread
    sides = np.repeat([1, 0], len(x))
    fitted = LogisticRegression(C=strength, fit_intercept=False, max_iter=300, tol=1e-3)
    fitted.fit(both, sides, sample_weight=weights)
    return Head(reading, (fitted.coef_[0] / spread).astype(np.float32), 0.0)


def _fold_of(groups: np.ndarray) -> np.ndarray:
    """int [n]: the fold of each answer; a question's answers are in one, and the questions are shuffled (seeded)."""
    names, at = np.unique(groups, return_inverse=True)
    return np.random.default_rng(0).permutation(len(names))[at] % FOLDS
