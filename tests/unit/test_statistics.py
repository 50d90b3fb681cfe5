"""Causal effects and their intervals."""

import numpy as np
import pandas as pd
import pytest

from explorer.studies.effect import effect_table, model_table
from explorer.studies.shares import newcombe, wilson
from explorer.studies.statistics import (
    Estimate,
    causal_effect,
    effect_difference,
    mean,
    over_draws,
    paired_difference,
    restoring_fraction,
)


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


def test_no_spread_gives_a_point_only_where_nothing_bounds_the_values():
    assert mean(np.full(10, 2.5)) == Estimate(2.5, 2.5, 2.5)
    none = mean(np.zeros(112))
    assert (none.value, none.low, none.high) == (0.0, *wilson(0, 112))


@pytest.mark.parametrize("scored", ["share", "cost"])
def test_an_effect_of_nothing_or_of_everything_has_a_width(scored):
    """No answer differs from M1's, or none from M2's: the bootstrap alone would be certain."""
    m1, m2 = np.zeros(100), np.repeat([0.0, 1.0], [20, 80])
    if scored == "cost":
        m1, m2 = 3.0 - m1 * 0.5, 3.0 - 4.0 * m2
    unseen = wilson(0, 100)[1]
    nothing, everything = causal_effect(m1, m1, m2), causal_effect(m1, m2, m2)
    assert nothing.value == 0
    assert (nothing.low, nothing.high) == pytest.approx((-unseen / 0.8, unseen / 0.8))
    assert everything.value == 1
    assert everything.low < 1 < everything.high
    assert everything.low > 0.9
    against = effect_difference(m1, m1, m1, m2)
    assert (against.value, against.sign) == (0, 0)
    assert against.high == pytest.approx(unseen / 0.8)


def test_one_refusal_of_many_is_not_distinguishable_from_none():
    """Where a bootstrap of shares is far too narrow, the interval is Newcombe's over the gap."""
    m1, m2, patched = np.zeros(100), np.ones(100), np.repeat([1.0, 0.0], [1, 99])
    found = causal_effect(m1, patched, m2)
    assert found.value == 0.01
    assert (found.low, found.high) == pytest.approx(newcombe(m1, patched))
    assert found.sign == 0


def test_a_bootstrap_that_is_wide_enough_is_kept():
    rng = np.random.default_rng(3)
    first = rng.normal(0, 1, 200)
    change = rng.normal(1, 2, 200)
    found = paired_difference(first, first + change)
    assert found.high - found.low == pytest.approx(4 * change.std() / 200**0.5, rel=0.2)
    assert found.sign == 1


def test_draws_are_spanned():
    found = over_draws([Estimate(0.1, 0.0, 0.2), Estimate(0.4, 0.3, 0.6)])
    assert (found.value, found.low, found.high) == (0.25, 0.0, 0.6)
    assert not over_draws([]).known


def test_the_restoring_fraction_is_known_to_the_measured_ones_around_it():
    m1, m2 = np.zeros(50), np.ones(50)
    curve = np.stack([np.zeros(50), np.ones(50)])
    found = restoring_fraction(m1, curve, m2, np.array([0.1, 0.3]))
    assert found.value == pytest.approx(0.1 + 0.9 * 0.2)
    assert (found.low, found.high) == (0.1, 0.3)


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
    spread = table.loc["random", ["refusal_low", "refusal_draw_min", "refusal_draw_max", "refusal_high"]].tolist()
    assert spread == pytest.approx([0.0, 0.0, 0.5, wilson(20, 40)[1]])
    assert np.isnan(table.loc["safety", "refusal_draw_min"])
    # against the draw that comes closest, which refuses as often: half of the 20 prompts that differ go either way
    assert table.loc["safety", "p_refusal"] == table.loc["safety", "p_refusal_holm"] == 1.0
    assert table.loc["safety", "above_random_refusal_low"] < 0 < table.loc["safety", "above_random_refusal"]
    assert table.loc["safety", "p_cost_holm"] == 2 * table.loc["safety", "p_cost"]
    models = model_table(answers, 48).set_index("column")
    assert models.loc["aligned", "refusal"] == 1.0
    assert models.loc["unpatched", "n"] == 40
