"""Causal effects and their intervals."""

import numpy as np
import pandas as pd
import pytest

from explorer.studies.effect import effect_table, model_table
from explorer.studies.statistics import causal_effect, mean


def test_mean_has_an_interval_around_it():
    values = np.random.default_rng(0).normal(2, 1, 200)
    got = mean(values)
    assert got.low < got.value < got.high
    assert got.value == pytest.approx(values.mean())
    assert got.high - got.low == pytest.approx(4 * values.std() / 200**0.5, rel=0.2)


def test_effect_is_0_for_m1_and_1_for_m2():
    rng = np.random.default_rng(1)
    m1, m2 = rng.normal(3, 1, 100), rng.normal(-3, 1, 100)
    assert causal_effect(m1, m1, m2).value == 0
    assert causal_effect(m1, m2, m2).value == 1
    half = causal_effect(m1, (m1 + m2) / 2, m2)
    assert half.value == pytest.approx(0.5)
    assert half.low <= 0.5 <= half.high


def test_effect_is_undefined_without_a_gap():
    rng = np.random.default_rng(2)
    m1, m2 = rng.normal(0, 1, 50), rng.normal(0, 1, 50)
    assert np.isnan(causal_effect(m1, m1, m2).value)
    assert np.isnan(causal_effect(m1, m1, m1).value)


def test_no_spread_gives_a_point():
    assert mean(np.ones(10)).low == mean(np.ones(10)).high == 1


def test_tables_pair_prompts_and_average_seeds():
    rows = []
    for i in range(40):
        base = {"suite": "s", "prompt_id": str(i), "answer": "", "set": "", "seed": -1, "fraction": np.nan}
        rows.append({**base, "column": "unpatched", "refused": False, "cost": 2.0 + i % 3})
        rows.append({**base, "column": "aligned", "refused": True, "cost": -2.0 + i % 3})
        patched = {**base, "column": "patched", "fraction": 0.1}
        rows.append({**patched, "set": "safety", "refused": i % 2 == 0, "cost": 0.0 + i % 3})
        rows += [
            {**patched, "set": "random", "seed": s, "refused": s == 0 and i < 20, "cost": 2.0 + i % 3} for s in (0, 1)
        ]
    answers = pd.DataFrame(rows)
    table = effect_table(answers, 48, 1000).set_index("set")
    assert table.loc["safety", ["n", "k", "seeds"]].tolist() == [40, 100, 1]
    assert table.loc["safety", "effect_refusal"] == pytest.approx(0.5)
    assert table.loc["safety", "effect_cost"] == pytest.approx(0.5)
    assert table.loc["random", "refusal"] == pytest.approx(0.25)
    assert table.loc["random", "effect_cost"] == pytest.approx(0.0)
    models = model_table(answers, 48).set_index("column")
    assert models.loc["aligned", "refusal"] == 1.0
    assert models.loc["unpatched", "n"] == 40
