"""How near two computations of the same numbers must be: relative to their size, and to the type they are computed in.

An absolute tolerance holds on the processor that it was tried on; sums in another order, with fused or wider
instructions, differ by a share of the largest value that goes in. So everything here is held against that size:

assert_close(got, wanted)                       # a sum of up to some 1,000 terms in float32
assert_close(got, wanted, layers=3)             # a pass through three layers, each of which adds to the error
assert_close(got, wanted, scale=np.abs(a).max())   # a difference: as exact as what it is the difference of
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

RTOL = {"float64": 1e-12, "float32": 1e-5, "float16": 2**-9, "bfloat16": 2**-6}
"""Of one product or sum: in float32 about 80 units in the last place (√1000 ≈ 32 of them are usual for 1,000 terms); in
the half types two units of the result, which is rounded from a wider sum."""


def assert_close(
    got: Any, wanted: Any, dtype: str | torch.dtype = "float32", *, layers: int = 0, scale: float | None = None
) -> None:
    """Whether two arrays of numbers agree to what the arithmetic can promise on any processor.

    Args:
        got, wanted: arrays, tensors or numbers of one shape; nan equals nan.
        dtype: that both were computed in; the coarser one, where they differ.
        layers: of a model that lie between the input and these numbers.
        scale: the size of what they are computed from; by default the largest finite absolute value of `wanted`.
    """
    first, second = _array(got), _array(wanted)
    size = float(np.abs(second[np.isfinite(second)]).max(initial=0.0)) if scale is None else float(scale)
    tolerance = RTOL[str(dtype).removeprefix("torch.")] * (1 + layers) * size
    np.testing.assert_allclose(first, second, rtol=0, atol=tolerance)


def assert_tables_close(got: pd.DataFrame, wanted: pd.DataFrame, layers: int) -> None:
    """Whether two tables are the same, numbers of models to `assert_close`, each column against its own size."""
    numbers = [c for c in wanted if wanted[c].dtype.kind == "f"]
    pd.testing.assert_frame_equal(got.drop(columns=numbers, errors="ignore"), wanted.drop(columns=numbers))
    assert list(got) == list(wanted)
    for column in numbers:
        assert_close(got[column], wanted[column], layers=layers)


def _array(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().to(device="cpu", dtype=torch.float64).numpy()
    return np.asarray(values, dtype=np.float64)
