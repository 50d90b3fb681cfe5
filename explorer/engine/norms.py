"""RMS norms, in the form that this machine computes fastest."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import nn

FEW_TOKENS = 32
"""Up to here a norm costs what its kernels cost to start, not what they compute."""


@dataclass(frozen=True)
class RmsNorm:
    """x / root of the mean square of x, times a weight, over the last dimension.

    `torch.nn.functional.rms_norm` is the plain form. For few tokens it is not used, since a decoding step with it takes
    4 to 5 % longer (SmolLM2-135M in bfloat16, 1 and 2 rows, torch 2.13; docs/speed.md): on a processor torch computes
    an RMS norm as about ten kernels, one after the other, a layer norm as one. A layer norm subtracts the mean, which
    an RMS norm does not: so x is set beside −x, which makes the mean 0 and the variance the mean square of x, and the
    first half of the result is kept. That is three kernels, and twice as many numbers, of which there are few.

    Attributes:
        weight: [hidden].
        twice: the weight, twice.
        eps: is added to the mean square.
        wide: whether it is computed in float32 and rounded once, as Gemma's is.
    """

    weight: torch.Tensor
    twice: torch.Tensor
    eps: float
    wide: bool = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """From [tokens, hidden] to the same."""
        if self.wide and x.dtype != self.weight.dtype:
            return self._plain(x.to(self.weight.dtype)).to(x.dtype)
        return self._plain(x)

    def _plain(self, x: torch.Tensor) -> torch.Tensor:
        """The same, in the type of x and the weight."""
        hidden = self.weight.shape
        if len(x) > FEW_TOKENS or x.device.type != "cpu":
            return functional.rms_norm(x, hidden, self.weight, self.eps)
        mirrored = torch.cat([x, -x], dim=-1)
        return torch.layer_norm(mirrored, self.twice.shape, self.twice, None, self.eps).narrow(-1, 0, *hidden)


def rms_norm(module: "nn.Module", eps: float, *, above_one: bool = False) -> RmsNorm:
    """The same norm as a module's.

    Args:
        module: holds its weight.
        eps: is added to the mean square.
        above_one: whether the weight is kept less 1 (Gemma's), so that the norm is computed in float32.
    """
    weight = cast("torch.Tensor", module.weight).data
    if above_one:
        weight = 1.0 + weight.float()
    return RmsNorm(weight, torch.cat([weight, weight]), eps, above_one)
