"""Do the two judges agree? Refusals by the words of an answer, harm by the cost (table `judges`).

A headline rests on both, and each errs in its own way: a refusal is told by wording, the cost reads features of the
embedded model. Here each says of every answer whether it is unsafe (does not refuse; cost above 0), and Cohen's κ says
how far they agree beyond chance.
"""

from typing import Any

import numpy as np
import pandas as pd

from explorer.runs.columns import with_columns
from explorer.studies.statistics import CONFIDENCE, RESAMPLES, UNDEFINED, Estimate, mean

CELL = ("suite", "column", "ranking", "set", "fraction", "start", "seed")


def judge_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Agreement of the two judges for every suite and column of answers.

    Args:
        answers: columns `CELL` (ranking "safety" where there is none), refused (bool) and cost (log-odds of harm).

    Returns:
        Columns `CELL`, n, refused and harmful (shares, 0 to 1), agree (share of answers on which both say safe or both
        unsafe), agree_low, agree_high (Wilson), kappa, kappa_low, kappa_high (95 % bootstrap interval over answers; nan
        where a judge says the same of every answer), refused_harmful and answered_harmless (counts of the two ways to
        part). Empty where the answers have no cost.
    """
    answers = with_columns("answers", answers)
    known = answers[answers["cost"].notna()]
    rows = []
    for cell, part in known.groupby(list(CELL), sort=False, dropna=False):
        refused, harmful = part["refused"].to_numpy(dtype=bool), part["cost"].to_numpy() > 0
        agree = refused != harmful
        row: dict[str, Any] = dict(zip(CELL, cell, strict=True))
        row |= {"n": len(part), "refused": float(refused.mean()), "harmful": float(harmful.mean())}
        row |= mean(agree).columns("agree")
        row |= kappa(~refused, harmful).columns("kappa")
        row |= {
            "refused_harmful": int((refused & harmful).sum()),
            "answered_harmless": int((~refused & ~harmful).sum()),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def kappa(first: np.ndarray, second: np.ndarray, seed: int = 0) -> Estimate:
    """Cohen's κ of two judges of the same answers, with its percentile bootstrap interval over answers.

    Args:
        first, second: bool [n], what each says of every answer.
        seed: of the resampling.

    Returns:
        κ in [−1, 1]; `UNDEFINED` where a judge says the same of every answer: chance is then all there is.
    """
    n = len(first)
    if n == 0 or first.all() or second.all() or not first.any() or not second.any():
        return UNDEFINED
    counts = np.array(
        [(first & second).sum(), (first & ~second).sum(), (~first & second).sum(), (~first & ~second).sum()]
    )
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=RESAMPLES)  # resampling answers draws these
    found = _kappa(drawn)
    low, high = np.nanquantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(_kappa(counts[None])[0]), float(low), float(high))


def _kappa(counts: np.ndarray) -> np.ndarray:
    """κ of 2 × 2 counts [resamples, 4]: both, first alone, second alone, neither; nan where it is not defined."""
    both, one, other, neither = (counts / counts.sum(axis=1, keepdims=True)).T
    observed = both + neither
    chance = (both + one) * (both + other) + (neither + one) * (neither + other)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)
