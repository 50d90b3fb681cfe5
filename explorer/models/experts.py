"""The routed experts of a layer as one wide MLP.

transformers keeps the experts of a layer as stacked weights and never shows their activations. Since each
expert's output is a sum of columns of its `down_proj`, weighted by the router, the whole layer is a sum over
neurons (expert, index) of

    activation = router weight × act(W_gate x) * W_up x        (0 in experts that the router did not choose)

times that neuron's column. This is the activation we contrast and patch: it says all that a neuron does, and
putting M2's in the place of M1's means one thing whichever experts each of them chose. While a visit is
attached the layer is computed in this form; without one, transformers' own forward runs. A bias of an expert's
`down_proj` is no neuron's: each model adds those of the experts that it has chosen itself.

Neurons are numbered expert × width + index; those of a shared expert, weighted by its gate, come last
(`joined.py`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def reads_as_experts(module: nn.Module) -> bool:
    """Whether a module holds experts in one of the forms that are computed here: stacked weights, a gate or none."""
    down = getattr(module, "down_proj", None)
    if not isinstance(down, nn.Parameter) or down.ndim != 3 or getattr(module, "has_post_expert_norm", False):
        return False
    up = getattr(module, "gate_up_proj" if getattr(module, "has_gate", True) else "up_proj", None)
    return isinstance(up, nn.Parameter) and (hasattr(module, "has_gate") or _takes_all(module))


def _takes_all(module: nn.Module) -> bool:
    """Whether the experts are each given every token, weighted by the router already, as Llama 4 does."""
    return not hasattr(module, "has_gate") and hasattr(module, "act_fn") and hasattr(module, "expert_dim")


class RoutedExperts:
    """The experts of one layer.

    Attributes:
        module: called with tokens [tokens, hidden], and the experts and weights that the router gives each of them.
        n_experts, expert_width: how many there are, and the neurons of each.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module: Any = module
        self._transposed = bool(getattr(module, "is_transposed", False)) or _takes_all(module)
        shape: Any = self.module.down_proj.shape  # [experts, hidden, width], or [experts, width, hidden]
        self.n_experts, self.expert_width = int(shape[0]), int(shape[1 if self._transposed else 2])
        self._hidden = int(shape[2 if self._transposed else 1])
        self._all = _takes_all(module)

    @property
    def width(self) -> int:
        return self.n_experts * self.expert_width

    @property
    def device(self) -> torch.device:
        device: torch.device = self.module.down_proj.device
        return device

    def read(self, args: tuple) -> torch.Tensor:
        """The neurons' activations, [tokens, width], for what the module is called with."""
        if self._all:
            return self._read_all(args[0])
        x, chosen, weights = args
        out = x.new_zeros(len(x), self.width)
        for e in chosen.unique().tolist():
            if 0 <= e < self.n_experts:  # a router may also choose to skip its experts
                slots = chosen == e
                token = slots.any(dim=1).nonzero().flatten()
                weight = (weights * slots).sum(dim=1)[token, None]  # hashed routers name an expert twice
                out[token, self._span(e)] = (self._neurons(x[token], e) * weight).to(out.dtype)
        return out

    def write(self, h: torch.Tensor, args: tuple | None = None) -> torch.Tensor:
        """What neurons of these activations, [tokens, width], write: [tokens, hidden].

        Args:
            h: the activations.
            args: what the module is called with, for the biases of the chosen experts; None leaves those out.
        """
        used = h.reshape(len(h), self.n_experts, self.expert_width).any(dim=2)
        if h.requires_grad:  # a gradient reaches neurons that are 0, too
            used = torch.ones_like(used)
        out = h.new_zeros(len(h), self._hidden)
        for e in used.any(dim=0).nonzero().flatten().tolist():
            token = used[:, e].nonzero().flatten()
            out.index_add_(0, token, self._linear(h[token, self._span(e)], self.module.down_proj[e]))
        bias = getattr(self.module, "down_proj_bias", None)
        if args is None or bias is None or self._all:
            return out
        _, chosen, weights = args
        there = chosen < self.n_experts
        own = bias[chosen.clamp(max=self.n_experts - 1)] * (weights * there)[..., None]
        return out + own.sum(dim=1).to(out.dtype)

    def columns(self, index: torch.Tensor) -> torch.Tensor:
        """What neurons of these numbers, int64 [neurons], write at activation 1: [neurons, hidden]."""
        down, expert, inside = self.module.down_proj, index // self.expert_width, index % self.expert_width
        columns: torch.Tensor = down[expert, inside] if self._transposed else down[expert, :, inside]
        return columns

    def shaped(self, written: torch.Tensor) -> torch.Tensor:
        """What the layer writes, [tokens, hidden], as the module would return it."""
        if not self._all:
            return written
        rest = written.new_zeros((self.n_experts - 1) * len(written), self._hidden)
        return torch.cat([written, rest])  # the layer adds up what its experts write

    def _read_all(self, x: torch.Tensor) -> torch.Tensor:
        each = x.view(self.n_experts, -1, self._hidden)
        gate, up = torch.bmm(each, self.module.gate_up_proj).chunk(2, dim=-1)
        return (up * self.module.act_fn(gate)).transpose(0, 1).flatten(1)

    def _neurons(self, x: torch.Tensor, e: int) -> torch.Tensor:
        name = "gate_up_proj" if self.module.has_gate else "up_proj"
        read = self._linear(x, getattr(self.module, name)[e])
        bias = getattr(self.module, f"{name}_bias", None)
        read = read if bias is None else read + bias[e]
        neurons: torch.Tensor = self.module._apply_gate(read) if self.module.has_gate else self.module.act_fn(read)
        return neurons

    def _linear(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x.to(weight.dtype) @ weight if self._transposed else functional.linear(x.to(weight.dtype), weight)

    def _span(self, expert: int) -> slice:
        return slice(expert * self.expert_width, (expert + 1) * self.expert_width)


def column_index(neurons: Sequence[int], device: torch.device) -> torch.Tensor:
    """Numbers of neurons as int64 [neurons] on a device."""
    return torch.as_tensor(neurons, device=device, dtype=torch.long)
