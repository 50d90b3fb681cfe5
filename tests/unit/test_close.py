"""The tests' own measure of nearness: relative to the size of what is compared, and to its type."""

import pandas as pd
import pytest
import torch

from tests.close import assert_close, assert_tables_close


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_nearness_goes_with_the_size(size):
    wanted = torch.tensor([2.0, 0.0]) * size
    assert_close(wanted + 1.5e-5 * size, wanted)
    with pytest.raises(AssertionError):
        assert_close(wanted + 3e-5 * size, wanted)
    assert_close(wanted + 3e-5 * size, wanted, layers=1)
    assert_close(wanted + 3e-5 * size, wanted, scale=4 * size)
    assert_close(wanted + 2e-2 * size, wanted, torch.bfloat16)
    with pytest.raises(AssertionError):
        assert_close(wanted.double() + 1e-9 * size, wanted.double(), "float64")


def test_what_is_not_a_number_must_be_the_same():
    nan, inf = float("nan"), float("inf")
    assert_close([nan, inf, 1.0], [nan, inf, 1.0])
    for other in ([1.0, inf, 1.0], [nan, 1.0, 1.0], [nan, inf, nan]):
        with pytest.raises(AssertionError):
            assert_close(other, [nan, inf, 1.0])


def test_tables_are_held_against_each_column():
    wanted = pd.DataFrame({"name": ["a", "b"], "large": [1e6, 0.0], "small": [1e-6, 0.0]})
    assert_tables_close(wanted.assign(large=[1e6, 5.0]), wanted, 0)
    for other in (wanted.assign(small=[1e-6, 1e-8]), wanted.assign(name="a"), wanted.drop(columns="small")):
        with pytest.raises((AssertionError, KeyError)):
            assert_tables_close(other, wanted, 0)
