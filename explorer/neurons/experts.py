"""How the neurons of a mixture of experts are numbered: expert × width + index, the shared expert last."""

from typing import Any

import numpy as np


def split_experts(neurons: Any, experts: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Expert and index within it of neurons numbered expert × width + index, as a mixture's layers number them.

    Args:
        neurons: int, scalar or array.
        experts: how many there are in a layer, and the neurons of each.

    Returns:
        Two int arrays of the shape of `neurons`; the expert after the last one is the shared expert.
    """
    count, width = experts
    expert = np.minimum(np.asarray(neurons) // width, count)
    return expert, neurons - expert * width
