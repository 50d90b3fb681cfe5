"""Linear maps of one input as one product, in the form that this machine multiplies fastest.

    qkv = product([attention.q_proj, attention.k_proj, attention.v_proj])
    q, k, v = qkv(x).split(…)

On a processor there are two forms beside torch's own (docs/speed.md has their times):

- float32 weights that half precision holds, as those of every checkpoint that was published in float16 or bfloat16, are
  packed once by FBGEMM: its kernels read two bytes a weight and multiply in float32, so nothing is rounded that was not
  rounded before, and they are made for the few rows of a decoding step. bfloat16 reaches to smaller numbers than half
  precision: its weights are multiplied by a power of two, and the inputs divided by it;
- bfloat16 weights, where the processor multiplies bfloat16, are laid out once as oneDNN's kernels want them; torch's
  own product does so anew in every call, which at few rows takes longer than multiplying.
"""

import ctypes
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional

from explorer.models.lora import LoraLinear
from explorer.models.precision import X86_BFLOAT16, cpu_has_any

if TYPE_CHECKING:
    from torch import nn


COPIED_BYTES = 2_000_000_000
"""Of larger models no second copy is made: a 7B pair in bfloat16, 14 GB, is to fit into a machine of 24 GB."""


_PART = 2**24
"""Weights that are looked at together: copies of all of an unembedding would be gigabytes."""

_LOST = 2.0**-36
"""Of the greatest weight, what one of them may lose in packing: a 4,000th of what a float32 product is rounded by."""


class Product(Protocol):
    """A linear map, or several of one input with their outputs one behind the other."""

    @property
    def row_price(self) -> float:
        """What another row adds to the time of a decoding step, as a share of a step without rows; about, for a few."""
        ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """From [..., inputs] to [..., outputs]."""
        ...

    def added_to(self, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The product plus the residual stream, [..., outputs]."""
        return residual + self(x)


@dataclass(frozen=True)
class Plain(Product):
    """As torch does it: weight [outputs, inputs], bias [outputs] or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    @property
    def row_price(self) -> float:
        return 0.2 if self.weight.device.type == "cpu" else 0.01

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weight, self.bias)

    def added_to(self, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if x.device.type == "cpu" or self.bias is not None or x.dim() != 2:
            return residual + self(x)
        return torch.addmm(residual, x, self.weight.T)  # one kernel, where starting one takes as long as it runs


@dataclass(frozen=True)
class Several(Product):
    """One after the other, from weights that stay where they are, in the file that they are mapped from perhaps."""

    maps: Sequence[Plain]
    row_price = 0.2

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([one(x) for one in self.maps], dim=-1)


@dataclass(frozen=True)
class Packed(Product):
    """By FBGEMM, from weights packed in half precision; input and output are float32.

    Attributes:
        weights: packed, divided by `scale`.
        scale: a power of two.
    """

    weights: Any
    scale: float = 1.0
    row_price = 0.1

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        scaled = x if self.scale == 1 else x * self.scale
        out: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(scaled, self.weights)
        return out


@dataclass(frozen=True)
class Blocked(Product):
    """By oneDNN, from weights laid out for its kernels; all in bfloat16, sums in float32."""

    weight: Any
    bias: torch.Tensor | None
    row_price = 0.025

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        # What torch.compile makes of a linear map with frozen weights ("none": nothing is fused to it).
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise.default(x, self.weight, self.bias, "none", [], "")
        return out

    def added_to(self, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")
        return out


@dataclass(frozen=True)
class WithLora(Product):
    """Another product with low-rank maps added: LoRA beside weights that two models share.

    Attributes:
        base: the product.
        added: for each map that has one, where its outputs begin and end, and what gives them.
    """

    base: Product
    added: Sequence[tuple[int, int, Callable[[torch.Tensor], torch.Tensor]]]

    @property
    def row_price(self) -> float:
        return self.base.row_price

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        out = self.base(x)
        for start, stop, added in self.added:
            out[..., start:stop] += added(x)
        return out


def with_lora(base: Product, linears: "Sequence[nn.Linear]") -> Product:
    """The product of linear maps of which some have LoRA beside the weights that `base` multiplies with."""
    added, start = [], 0
    for linear in linears:
        stop = start + linear.out_features
        if isinstance(linear, LoraLinear):
            added.append((start, stop, linear.added))
        start = stop
    return WithLora(base, added) if added else base


def affords_copies(module: "nn.Module") -> bool:
    """Whether a model's weights may lie in memory twice, as modules hold them and as they are multiplied fastest."""
    return sum(p.numel() * p.element_size() for p in module.parameters()) <= COPIED_BYTES


def product(linears: "Sequence[nn.Linear]", *, copies: bool = True) -> Product:
    """One product of linear maps of the same input.

    Packed and blocked weights are a copy. Plain ones are laid one behind the other, and the modules' own parameters
    become views of them, so that nothing is held twice and the modules stay what they were.

    On a processor, where no copy may be made, nothing is laid out anew: the weights are pages of a mapped file, which
    would be held beside it.

    Args:
        linears: the maps.
        copies: whether weights may be packed or blocked.
    """
    weights = [linear.weight.data for linear in linears]
    biases = [linear.bias.data for linear in linears if linear.bias is not None]
    with torch.no_grad():
        if not copies and len(linears) > 1 and weights[0].device.type == "cpu":
            return Several([Plain(linear.weight, linear.bias) for linear in linears])
        bias = torch.cat(biases) if biases else None
        scale = _packing_scale(weights) if copies else None
        if scale is not None:
            scaled = torch.cat(weights) if scale == 1 else torch.cat(weights).div_(scale)
            return Packed(torch.ops.quantized.linear_prepack_fp16(scaled, bias), scale)
        if copies and all(_blocks(weight) for weight in weights):
            # The second argument is the number of rows to expect; the layout is the same for any.
            return Blocked(torch.ops.mkldnn._reorder_linear_weight(torch.cat(weights), None), bias)
        if len(linears) == 1:
            return Plain(linears[0].weight, linears[0].bias)
        weight = torch.cat(weights)
    start = 0
    for linear in linears:
        end = start + linear.out_features
        linear.weight.data = weight[start:end]
        if bias is not None:
            linear.bias.data = bias[start:end]
        start = end
    return Plain(weight, bias)


def _packing_scale(weights: Sequence[torch.Tensor]) -> float | None:
    """The power of two that weights are divided by so that half precision holds them; None where it does not.

    Undivided, all of them are held exactly. Divided, the greatest lies between 2¹⁴ and 2¹⁵, so that bfloat16's eight
    bits are held down to 2⁻³² of it; what smaller ones lose is less than `_LOST` of the greatest.
    """
    on_cpu = all(weight.dtype is torch.float32 and weight.device.type == "cpu" for weight in weights)
    if not on_cpu or torch.backends.quantized.engine not in ("fbgemm", "x86"):
        return None
    parts = [part for weight in weights for part in weight.flatten().split(_PART)]
    greatest = max(abs(float(end)) for part in parts for end in part.aminmax())
    if not math.isfinite(greatest):
        return None
    if all(torch.equal(part.half().float(), part) for part in parts):
        return 1.0
    scale = 2.0 ** (math.frexp(greatest)[1] - 15)
    for part in parts:
        divided = part / scale
        if float((divided.half().float() - divided).abs().max()) > _LOST * greatest / scale:
            return None
    return scale


def _blocks(weight: torch.Tensor) -> bool:
    onednn: Any = torch.backends.mkldnn
    return (
        weight.dtype is torch.bfloat16
        and weight.device.type == "cpu"
        and onednn.is_available()
        and cpu_has_any(X86_BFLOAT16)
    )


def return_freed_memory() -> None:
    """Give the system back what packing has freed: glibc keeps it (130 MB for SmolLM2-135M); elsewhere, do nothing."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
