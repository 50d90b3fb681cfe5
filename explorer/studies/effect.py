"""Causal effect of patching against the patched fraction, with random controls (paper section 4.2).

Answers of every column go in, one row for each set and fraction comes out.
"""

import numpy as np
import pandas as pd

from explorer.studies.statistics import causal_effect, mean

SCORES = ("refusal", "cost")


def model_table(answers: pd.DataFrame, max_new_tokens: int) -> pd.DataFrame:
    """What M1 and M2 do on each suite.

    Args:
        answers: columns suite, column, prompt_id, refused, cost.

    Returns:
        Columns suite, column, n, max_new_tokens, and refusal and cost with _low and _high.
    """
    rows = []
    plain = answers[answers["column"] != "patched"]
    for (suite, column), group in plain.groupby(["suite", "column"], sort=False):
        row = {"suite": suite, "column": column, "n": len(group), "max_new_tokens": max_new_tokens}
        for score in SCORES:
            row |= mean(_values(group, score)).columns(score)
        rows.append(row)
    return pd.DataFrame(rows)


def effect_table(answers: pd.DataFrame, max_new_tokens: int, total_neurons: int) -> pd.DataFrame:
    """Scores and causal effect of every patched set and fraction.

    A prompt's score under a random control is its mean over the control's seeds.

    Args:
        answers: columns suite, prompt_id, column, set, seed, fraction, refused, cost.

    Returns:
        Columns suite, set, fraction, k, n, seeds, max_new_tokens, and refusal, cost, effect_refusal,
        effect_cost, each with _low and _high; effects are nan where the gap between M1 and M2 is not
        distinguishable from 0.
    """
    rows = []
    for suite, group in answers.groupby("suite", sort=False):
        patched = group[group["column"] == "patched"]
        base = {c: group[group["column"] == c].set_index("prompt_id") for c in ("unpatched", "aligned")}
        for (kind, share), part in patched.groupby(["set", "fraction"], sort=False):
            fraction = float(str(share))
            row = {
                "suite": suite,
                "set": kind,
                "fraction": fraction,
                "k": round(fraction * total_neurons),
                "n": part["prompt_id"].nunique(),
                "seeds": part["seed"].nunique(),
                "max_new_tokens": max_new_tokens,
            }
            for score in SCORES:
                values = part.assign(value=_values(part, score)).groupby("prompt_id", sort=False)["value"].mean()
                m1, m2 = (_values(base[c].loc[values.index], score) for c in ("unpatched", "aligned"))
                row |= mean(values.to_numpy()).columns(score)
                row |= causal_effect(m1, values.to_numpy(), m2).columns(f"effect_{score}")
            rows.append(row)
    table = pd.DataFrame(rows)
    return table.sort_values(["suite", "set", "fraction"], ignore_index=True) if len(table) else table


def _values(frame: pd.DataFrame, score: str) -> np.ndarray:
    return frame["refused" if score == "refusal" else score].to_numpy(dtype=np.float64)
