"""What a pair must be for its numbers to mean something: finite, and two models that do different things.

Both are looked at where numbers come out anyway: once a contrast, and in the first step of a batch of answers.
"""

from collections.abc import Sequence

import numpy as np
import torch

from explorer.engine.reading import TokenText, inputs_of, read
from explorer.engine.sums import Sums
from explorer.errors import ExplorerError
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair, apply_scale

SAME = (
    "M1 and M2 do the same on these prompts, so no neuron differs; check that the pair names two models (an adapter "
    "whose factors are all 1, or a LoRA that was never trained, changes nothing)."
)
"""What is said of two models that are one."""

_NOISE = 1e-6
"""RMS differences below this share of a layer's RMS activation are rounding: rows of one batch, multiplied apart."""


def check_models_differ(pair: Pair) -> None:
    """Raises:
    ExplorerError: M1 and M2 are the same weights with the same factors.
    """
    if not pair.shared:
        return
    ones = [torch.ones(pair.n_neurons)] * pair.n_layers
    both = zip(pair.scale1 or ones, pair.scale2 or ones, strict=True)
    if all(torch.equal(one.cpu(), two.cpu()) for one, two in both):
        raise ExplorerError(SAME)


def check_sums(sums: Sums, dtype: str) -> None:
    """See that contrasted activations are finite and differ.

    Args:
        sums: over all answers and positions.
        dtype: what the models compute in, for the message; "" where that is not known.

    Raises:
        ExplorerError: a layer's activations are NaN or infinite, or no neuron differs by more than rounding.
    """
    check_finite_sums(sums, dtype)
    n = np.maximum(1, sums.count)
    level = np.sqrt((sums.first_squared + sums.second_squared).mean(axis=1, keepdims=True) / n / 2)
    if not (np.sqrt(sums.squared_difference / n) > _NOISE * level).any():
        raise ExplorerError(SAME)


def check_finite_sums(sums: Sums, dtype: str) -> None:
    """Raises:
    ExplorerError: a layer's summed activations are NaN or infinite.
    """
    for model, squares in (("M1", sums.first_squared), ("M2", sums.second_squared)):
        bad = ~np.isfinite(squares).all(axis=1)
        if bad.any():
            raise ExplorerError(not_finite(model, int(bad.argmax()), dtype))


def check_finite_states(pair: Pair, first: torch.Tensor, second: torch.Tensor, prompt: Sequence[int]) -> None:
    """See that what both models made of a batch is finite.

    Args:
        pair: the models.
        first, second: final hidden states of M1's and of M2's rows, [rows, …, hidden]; either may have no rows.
        prompt: token ids of one of the prompts, by which the layer is found.

    Raises:
        ExplorerError: they are not.
    """
    for model, states in (("M2", second), ("M1", first)):  # patched, M1 has M2's NaN
        if states.numel() and not bool(torch.isfinite(states).all()):
            layer = _first_bad_layer(pair, model, prompt)
            raise ExplorerError(not_finite(model, layer, pair.dtype))


def not_finite(model: str, layer: int | None, dtype: str) -> str:
    """The sentence for activations that are no numbers."""
    where = "" if layer is None else f" from layer {layer} on"
    what = f"it computes in {dtype}; load the pair in " if dtype == "float16" else "load the pair in "
    other = "bfloat16 or float32" if dtype == "float16" else "float32" if dtype == "bfloat16" else "another dtype"
    return f"{model}'s activations are NaN or infinite{where}: {what}{other}, or check its weights for NaN."


def _first_bad_layer(pair: Pair, model: str, prompt: Sequence[int]) -> int | None:
    """The first layer of a model whose neurons are not finite on a prompt; None where all are."""
    module, scale = (pair.backbone1, pair.scale1) if model == "M1" else (pair.backbone2, pair.scale2)
    bad: list[int] = []

    def look(layer: int, h: torch.Tensor) -> torch.Tensor | None:
        changed = None if scale is None else apply_scale(h, scale[layer])
        if not bool(torch.isfinite(h if changed is None else changed).all()):
            bad.append(layer)
        return changed

    with torch.inference_mode(), pair.lock, neuron_hooks(module, look):
        read(module, inputs_of(module, [TokenText(list(prompt), ())]))
    return min(bad, default=None)
