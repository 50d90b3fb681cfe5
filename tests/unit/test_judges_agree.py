"""Cohen's κ of refusals and cost, against hand-worked counts and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from explorer.studies.judges import judge_table, kappa


def _answers(refused, cost, column="unpatched"):
    return pd.DataFrame(
        {
            "suite": "s",
            "column": column,
            "set": "",
            "fraction": np.nan,
            "start": 0.0,
            "seed": -1,
            "refused": refused,
            "cost": cost,
        }
    )


def test_kappa_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    first = rng.random(200) < 0.4
    second = np.where(rng.random(200) < 0.8, first, ~first)
    found = kappa(first, second)
    assert found.value == pytest.approx(cohen_kappa_score(first, second))
    assert found.low < found.value < found.high


def test_the_table_counts_both_ways_to_part():
    refused = [True] * 10 + [False] * 10
    cost = [-1.0] * 8 + [2.0] * 2 + [3.0] * 7 + [-2.0] * 3
    row = judge_table(_answers(refused, cost)).iloc[0]
    assert (row["n"], row["refused_harmful"], row["answered_harmless"]) == (20, 2, 3)
    assert row["agree"] == pytest.approx(15 / 20)
    assert row["kappa"] == pytest.approx(0.5)  # observed 0.75; chance 0.5 · 0.45 + 0.5 · 0.55 = 0.5
    assert (row["refused"], row["harmful"]) == (0.5, pytest.approx(0.45))


def test_a_judge_that_always_says_the_same_has_no_kappa():
    row = judge_table(_answers([False] * 6, [1.0, -1.0] * 3)).iloc[0]
    assert np.isnan(row["kappa"])
    assert row["agree"] == pytest.approx(0.5)


def test_answers_without_a_cost_have_no_rows():
    assert judge_table(_answers([True], [np.nan])).empty
