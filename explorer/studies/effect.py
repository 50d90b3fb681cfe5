"""Causal effect of patching against the patched fraction, with random controls (paper section 4.2).

Answers of every column go in; out come what M1 and M2 do (`models`), one row for each set and fraction
(`effect`), and the fraction that restores 90 % of the gap (`restoring`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from explorer.studies.statistics import causal_effect, effect_difference, mean, paired_p, restoring_fraction

SCORES = ("refusal", "cost")
"""Scores of answers that are looked at where no others are named; "refusal" is the column `refused`."""

RESTORED = 0.9
"""The share of the gap that the paper asks of safety neurons."""


def model_table(answers: pd.DataFrame, max_new_tokens: int, scores: Sequence[str] = SCORES) -> pd.DataFrame:
    """What M1 and M2 do on each suite.

    Args:
        answers: columns suite, column, prompt_id, refused, and the other scores.

    Returns:
        Columns suite, column, n, max_new_tokens, and each score with _low and _high.
    """
    rows = []
    plain = answers[answers["column"] != "patched"]
    for (suite, column), group in plain.groupby(["suite", "column"], sort=False):
        row = {"suite": suite, "column": column, "n": len(group), "max_new_tokens": max_new_tokens}
        for score in scores:
            row |= mean(values(group, score)).columns(score)
        rows.append(row)
    return pd.DataFrame(rows)


def effect_table(
    answers: pd.DataFrame, max_new_tokens: int, total_neurons: int, scores: Sequence[str] = SCORES
) -> pd.DataFrame:
    """Scores and causal effect of every patched set and fraction.

    A prompt's score under a random control is its mean over the control's seeds.

    Args:
        answers: columns suite, prompt_id, column, set, seed, fraction, start, refused, and the other scores.

    Returns:
        Columns suite, set, fraction, start, k, n, seeds, max_new_tokens; for each score its mean and, but for degenerate,
        effect_… and (safety sets beside random ones of their fraction) above_random_…, each with _low and _high, and
        p_… of a paired test against random. Effects are nan where the gap between M1 and M2 is not distinguishable
        from 0.
    """
    rows = []
    if "start" not in answers:
        answers = answers.assign(start=0.0)
    for suite, group in answers.groupby("suite", sort=False):
        patched = group[group["column"] == "patched"]
        base = _base(group)
        sets = dict(iter(patched.groupby(["set", "fraction", "start"], sort=False)))
        for (kind, share, start), part in sets.items():
            fraction = float(str(share))
            row = {
                "suite": suite,
                "set": kind,
                "fraction": fraction,
                "start": start,
                "k": round(fraction * total_neurons),
                "n": part["prompt_id"].nunique(),
                "seeds": part["seed"].nunique(),
                "max_new_tokens": max_new_tokens,
            }
            control = sets.get(("random", share, 0.0)) if kind == "safety" else None
            for score in scores:
                row |= _scored(part, control, base, score)
            rows.append(row)
    table = pd.DataFrame(rows)
    return table.sort_values(["suite", "set", "fraction", "start"], ignore_index=True) if len(table) else table


def restoring_table(answers: pd.DataFrame, max_new_tokens: int, scores: Sequence[str] = SCORES) -> pd.DataFrame:
    """The fraction of safety neurons that restores `RESTORED` of the gap.

    Returns:
        Columns suite, score, share, fraction, fraction_low, fraction_high (infinite where it is not reached, nan where
        the gap is not distinguishable from 0), largest (the largest fraction measured), n, max_new_tokens.
    """
    rows = []
    for suite, group in answers.groupby("suite", sort=False):
        safety = group[(group["column"] == "patched") & (group["set"] == "safety")]
        if safety.empty:
            continue
        base = _base(group)
        for score in (s for s in scores if s != "degenerate"):
            curve = safety.assign(value=values(safety, score)).pivot_table(
                index="fraction", columns="prompt_id", values="value", dropna=False, sort=False
            )
            curve = curve.sort_index()
            m1, m2 = (values(base[c].loc[curve.columns], score) for c in ("unpatched", "aligned"))
            found = restoring_fraction(m1, curve.to_numpy(), m2, curve.index.to_numpy(), RESTORED)
            rows.append(
                {
                    "suite": suite,
                    "score": score,
                    "share": RESTORED,
                    **found.columns("fraction"),
                    "largest": float(curve.index.max()),
                    "n": curve.shape[1],
                    "max_new_tokens": max_new_tokens,
                }
            )
    return pd.DataFrame(rows)


def values(frame: pd.DataFrame, score: str) -> np.ndarray:
    """A score of answers, float64 [rows]."""
    return frame["refused" if score == "refusal" else score].to_numpy(dtype=np.float64)


def by_prompt(frame: pd.DataFrame, score: str) -> pd.Series:
    """A score of answers for each prompt, averaged over what answered it more than once."""
    return frame.assign(value=values(frame, score)).groupby("prompt_id", sort=False)["value"].mean()


def compare(part: pd.DataFrame, base: dict[str, pd.DataFrame], score: str) -> dict[str, float]:
    """Mean and causal effect of patched answers, as table cells.

    Args:
        part: the patched answers.
        base: "unpatched" and "aligned" answers to the same prompts (or more), by prompt_id.
        score: which score.
    """
    found = by_prompt(part, score)
    m1, m2 = (values(base[c].loc[found.index], score) for c in ("unpatched", "aligned"))
    cells = mean(found.to_numpy()).columns(score)
    if score != "degenerate":
        cells |= causal_effect(m1, found.to_numpy(), m2).columns(f"effect_{score}")
    return cells


def _scored(
    part: pd.DataFrame, control: pd.DataFrame | None, base: dict[str, pd.DataFrame], score: str
) -> dict[str, float]:
    cells = compare(part, base, score)
    if control is None or score == "degenerate":
        return cells
    patched = by_prompt(part, score)
    random = by_prompt(control, score).loc[patched.index].to_numpy()
    m1, m2 = (values(base[c].loc[patched.index], score) for c in ("unpatched", "aligned"))
    above = effect_difference(m1, patched.to_numpy(), random, m2)
    return cells | above.columns(f"above_random_{score}") | {f"p_{score}": paired_p(patched.to_numpy(), random)}


def _base(group: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {c: group[group["column"] == c].set_index("prompt_id") for c in ("unpatched", "aligned")}
