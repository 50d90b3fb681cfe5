"""Causal effect of patching against the patched fraction, with random controls (paper section 4.2).

Answers of every column go in; out come what M1 and M2 do (`models`), one row for each set and fraction
(`effect`), and the fraction that restores 90 % of the gap (`restoring`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from explorer.runs.columns import with_columns
from explorer.studies.statistics import (
    Estimate,
    causal_effect,
    effect_difference,
    holm,
    mean,
    over_draws,
    paired_p,
    restoring_fraction,
)

DEGENERATE = "degenerate"
"""The column of answers that says whether an answer is degenerate (repetitive or empty)."""

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

    A control's score is the mean over its random draws; its intervals span those of every draw, and the lowest and
    highest draw stand beside them. Comparisons with random neurons span those with every draw as well.

    Args:
        answers: columns suite, prompt_id, column, ranking ("safety" where there is none), set, seed, fraction, start,
            refused, and the other scores; unpatched and aligned ones once for each suite and prompt.

    Returns:
        Columns suite, ranking (whose sets were patched), set, fraction, start, k, n, seeds, max_new_tokens; for each
        score its mean and, but for degenerate answers, effect_… and (top sets, "safety", beside random ones of their
        ranking and fraction) above_random_…, each with _low and _high; of sets drawn more than once also _draw_min and
        _draw_max, the lowest and highest draw's value; p_… of a paired test against the random draw that comes closest
        (its largest p), and p_…_holm, corrected by Holm over every p of one ranking (suites × fractions × scores).
        Effects are nan where the gap between M1 and M2 is not distinguishable from 0.
    """
    rows = []
    if "start" not in answers:
        answers = answers.assign(start=0.0)
    answers = with_columns("answers", answers)
    for suite, group in answers.groupby("suite", sort=False):
        patched = group[group["column"] == "patched"]
        base = plain_answers(group)
        sets = dict(iter(patched.groupby(["ranking", "set", "fraction", "start"], sort=False)))
        for (ranking, kind, share, start), part in sets.items():
            fraction = float(str(share))
            row = {
                "suite": suite,
                "ranking": ranking,
                "set": kind,
                "fraction": fraction,
                "start": start,
                "k": round(fraction * total_neurons),
                "n": part["prompt_id"].nunique(),
                "seeds": part["seed"].nunique(),
                "max_new_tokens": max_new_tokens,
            }
            control = sets.get((ranking, "random", share, 0.0)) if kind == "safety" else None
            for score in scores:
                row |= _scored(part, control, base, score)
            rows.append(row)
    if not rows:
        return pd.DataFrame(rows)
    table = with_holm(pd.DataFrame(rows), [f"p_{score}" for score in scores], by="ranking")
    order = {name: number for number, name in enumerate(table["ranking"].unique())}  # as the build file names them
    by = table.assign(ranking=table["ranking"].map(order)).sort_values(["suite", "ranking", "set", "fraction", "start"])
    return table.loc[by.index].reset_index(drop=True)


def with_holm(table: pd.DataFrame, columns: Sequence[str], by: str = "") -> pd.DataFrame:
    """The table with …_holm beside each of these columns of p-values that it has: corrected over all of them.

    Args:
        table: of any rows.
        columns: of p-values.
        by: a column that tells families of tests apart (the ranking, so that another one beside it changes nothing);
            one family where empty.
    """
    there = [c for c in columns if c in table]
    if not there:
        return table
    if by:
        families = [with_holm(part, columns) for _, part in table.groupby(by, sort=False)]
        return pd.concat(families).loc[table.index]
    corrected = pd.DataFrame(holm(table[there].to_numpy()), index=table.index, columns=[f"{c}_holm" for c in there])
    return table.join(corrected)


def restoring_table(answers: pd.DataFrame, max_new_tokens: int, scores: Sequence[str] = SCORES) -> pd.DataFrame:
    """The fraction of each ranking's top neurons that restores `RESTORED` of the gap.

    Returns:
        Columns suite, ranking, score, share, fraction, fraction_low, fraction_high (infinite where it is not reached,
        nan where the gap is not distinguishable from 0), largest (the largest fraction measured), n, max_new_tokens.
    """
    rows = []
    for suite, group in with_columns("answers", answers).groupby("suite", sort=False):
        patched = group[(group["column"] == "patched") & (group["set"] == "safety")]
        base = plain_answers(group)
        for ranking, top in patched.groupby("ranking", sort=False):
            for score in (s for s in scores if s != DEGENERATE):
                cells = {"suite": suite, "ranking": ranking, "score": score, "share": RESTORED}
                rows.append(cells | reached(top, base, score) | {"max_new_tokens": max_new_tokens})
    return pd.DataFrame(rows)


def reached(top: pd.DataFrame, base: dict[str, pd.DataFrame], score: str) -> dict[str, float]:
    """At which patched fraction answers first have `RESTORED` of the gap, as table cells.

    Args:
        top: patched answers of one set of every fraction: columns fraction, prompt_id and the scores.
        base: see `plain_answers`.
        score: which score.

    Returns:
        fraction with _low and _high (see `statistics.restoring_fraction`), largest (the largest fraction measured), n.
    """
    curve = top.assign(value=values(top, score)).pivot_table(
        index="fraction", columns="prompt_id", values="value", dropna=False, sort=False
    )
    curve = curve.sort_index()
    m1, m2 = (values(base[c].loc[curve.columns], score) for c in ("unpatched", "aligned"))
    found = restoring_fraction(m1, curve.to_numpy(), m2, curve.index.to_numpy(), RESTORED)
    return {**found.columns("fraction"), "largest": float(curve.index.max()), "n": curve.shape[1]}


def values(frame: pd.DataFrame, score: str) -> np.ndarray:
    """A score of answers, float64 [rows]."""
    return frame["refused" if score == "refusal" else score].to_numpy(dtype=np.float64)


def by_prompt(frame: pd.DataFrame, score: str) -> pd.Series:
    """A score of answers for each prompt, averaged over what answered it more than once."""
    return frame.assign(value=values(frame, score)).groupby("prompt_id", sort=False)["value"].mean()


def compare(part: pd.DataFrame, base: dict[str, pd.DataFrame], score: str) -> dict[str, float]:
    """Mean and causal effect of patched answers, as table cells.

    Args:
        part: the patched answers; a column seed tells random draws apart.
        base: "unpatched" and "aligned" answers to the same prompts (or more), by prompt_id.
        score: which score.

    Returns:
        The score and, but for degenerate answers, effect_…, as `effect_table` says.
    """
    draws = _draws(part, score)
    cells = _cells(score, [mean(d.to_numpy()) for d in draws])
    if score != DEGENERATE:
        effects = [causal_effect(m1, d.to_numpy(), m2) for d in draws for m1, m2 in [_models(base, d, score)]]
        cells |= _cells(f"effect_{score}", effects)
    return cells


def _draws(part: pd.DataFrame, score: str) -> list[pd.Series]:
    """A score by prompt, for each random draw; of sets that are not drawn, once."""
    if "seed" not in part or part["seed"].nunique() < 2:
        return [by_prompt(part, score)]
    return [by_prompt(draw, score) for _, draw in part.groupby("seed", sort=True)]


def _cells(name: str, draws: list[Estimate]) -> dict[str, float]:
    cells = over_draws(draws).columns(name)
    if len(draws) > 1:
        values = [d.value for d in draws]
        cells |= {f"{name}_draw_min": min(values), f"{name}_draw_max": max(values)}
    return cells


def _models(base: dict[str, pd.DataFrame], like: pd.Series, score: str) -> tuple[np.ndarray, np.ndarray]:
    """M1's and M2's scores on the prompts of `like`."""
    m1, m2 = (values(base[c].loc[like.index], score) for c in ("unpatched", "aligned"))
    return m1, m2


def _scored(
    part: pd.DataFrame, control: pd.DataFrame | None, base: dict[str, pd.DataFrame], score: str
) -> dict[str, float]:
    cells = compare(part, base, score)
    if control is None or score == DEGENERATE:
        return cells
    found = by_prompt(part, score)
    patched, (m1, m2) = found.to_numpy(), _models(base, found, score)
    draws = [d.loc[found.index].to_numpy() for d in _draws(control, score)]
    above = over_draws([effect_difference(m1, patched, draw, m2) for draw in draws])
    return cells | above.columns(f"above_random_{score}") | {f"p_{score}": max(paired_p(patched, d) for d in draws)}


def plain_answers(group: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The answers to one suite that nothing is patched in, "unpatched" and "aligned", by prompt_id."""
    return {c: group[group["column"] == c].set_index("prompt_id") for c in ("unpatched", "aligned")}
