"""Mixtures of experts as one wide MLP.

transformers keeps the experts of a layer as stacked weights and never shows their activations. Since each
expert's output is a sum of columns of its `down_proj`, weighted by the router, the whole layer is a sum over
neurons (expert, index) of

    activation = router weight × act(W_gate x) * W_up x        (0 in experts that the router did not choose)

times that neuron's column. This is the activation we contrast and patch: it says all that a neuron does, and
putting M2's in the place of M1's means one thing whichever experts each of them chose. While a visit is
attached the layer is computed in this form; without one, transformers' own forward runs.

Neurons are numbered expert × width + index; those of a shared expert, weighted by its gate, come last.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from explorer.errors import ExplorerError
from explorer.models.families import Family
from explorer.models.neuron_layer import NeuronVisit


def check_experts(block: nn.Module, family: Family) -> nn.Module:
    """The MLP of a block, when it is a mixture of experts of the form that is computed here.

    Raises:
        ExplorerError: it is a plain MLP (some models mix both), or of another form.
    """
    experts = getattr(block, "experts", None)
    plain = experts is not None and not any(
        getattr(experts, name, False) for name in ("has_bias", "is_transposed", "has_post_expert_norm")
    )
    if not (plain and hasattr(block, "gate") and hasattr(experts, "gate_up_proj") and hasattr(experts, "down_proj")):
        raise ExplorerError(
            f"{family.name}: a layer of this model is no mixture of experts with a gate, experts.gate_up_proj and "
            "experts.down_proj; models that mix dense and expert layers have neurons of two kinds and are not read."
        )
    return block


class ExpertLayer:
    """All experts of one layer; see `neuron_layer.NeuronLayer`."""

    def __init__(self, block: Any) -> None:
        self._block = block
        self._experts: Any = block.experts
        self._shared: Any = getattr(block, "shared_expert", None)
        shape = self._experts.down_proj.shape  # [experts, hidden, width]
        self.n_experts, self.expert_width = int(shape[0]), int(shape[2])

    @property
    def width(self) -> int:
        shared = 0 if self._shared is None else int(self._shared.down_proj.in_features)
        return self.n_experts * self.expert_width + shared

    @property
    def device(self) -> torch.device:
        return self._experts.down_proj.device

    def attach(self, visit: NeuronVisit) -> "_Attached":
        """See `neuron_layer.NeuronLayer.attach`."""
        return _Attached(self, self._block, visit)

    def write(self, neurons: torch.Tensor) -> torch.Tensor:
        """See `neuron_layer.NeuronLayer.write`."""
        flat = neurons.reshape(-1, self.width).to(self._experts.down_proj.dtype)
        return self._write(flat).view(*neurons.shape[:-1], -1)

    def columns(self, neurons: Sequence[int]) -> torch.Tensor:
        """See `neuron_layer.NeuronLayer.columns`."""
        index = torch.as_tensor(neurons, device=self.device)
        routed = self.n_experts * self.expert_width
        inside = index.clamp(max=routed - 1)
        written = self._experts.down_proj[inside // self.expert_width, :, inside % self.expert_width]
        if self._shared is None:
            return written
        own = self._shared.down_proj.weight[:, (index - routed).clamp(min=0)].T
        return torch.where((index >= routed)[:, None], own, written)

    def forward(self, visits: Sequence[NeuronVisit], x: torch.Tensor) -> torch.Tensor:
        """What the layer writes, [rows, positions, hidden], with the visits called on its neurons."""
        flat = x.reshape(-1, x.shape[-1])
        h = self._read(flat).view(*x.shape[:-1], self.width)
        for visit in visits:
            changed = visit(h)
            h = h if changed is None else changed
        return self._write(h.reshape(len(flat), self.width)).view(x.shape)

    def _read(self, flat: torch.Tensor) -> torch.Tensor:
        """The neurons' activations, [tokens, width]."""
        _, weights, chosen = self._block.gate(flat)
        out = flat.new_zeros(len(flat), self.width)
        for e in chosen.unique().tolist():
            token, slot = torch.where(chosen == e)
            neurons = self._experts._apply_gate(functional.linear(flat[token], self._experts.gate_up_proj[e]))
            out[token, self._span(e)] = (neurons * weights[token, slot, None]).to(out.dtype)
        if self._shared is not None:
            s = self._shared
            neurons = s.act_fn(s.gate_proj(flat)) * s.up_proj(flat)
            out[:, self.n_experts * self.expert_width :] = self._block.shared_expert_gate(flat).sigmoid() * neurons
        return out

    def _write(self, h: torch.Tensor) -> torch.Tensor:
        """What neurons of these activations, [tokens, width], write: [tokens, hidden]."""
        routed = h[:, : self.n_experts * self.expert_width]
        used = routed.view(len(h), self.n_experts, self.expert_width).any(dim=2)
        if h.requires_grad:  # a gradient reaches neurons that are 0, too
            used = torch.ones_like(used)
        shared = None if self._shared is None else self._shared.down_proj(h[:, routed.shape[1] :])
        out = h.new_zeros(len(h), self._experts.down_proj.shape[1]) if shared is None else shared
        for e in used.any(dim=0).nonzero().flatten().tolist():
            token = used[:, e].nonzero().flatten()
            out.index_add_(0, token, functional.linear(h[token, self._span(e)], self._experts.down_proj[e]))
        return out

    def _span(self, expert: int) -> slice:
        return slice(expert * self.expert_width, (expert + 1) * self.expert_width)


class _Attached:
    """A visit on a layer. Several may be attached; the block's own forward comes back with the last one's end."""

    def __init__(self, layer: ExpertLayer, block: nn.Module, visit: NeuronVisit) -> None:
        self._block, self._visit = block, visit
        state = block.__dict__
        if "_neuron_visits" not in state:
            visits: list[NeuronVisit] = []
            state["_neuron_visits"] = visits
            state["_own_forward"] = state.get("forward")  # accelerate puts one on a module, too
            state["forward"] = lambda hidden_states: layer.forward(visits, hidden_states)
        state["_neuron_visits"].append(visit)

    def remove(self) -> None:
        state = self._block.__dict__
        visits = state.get("_neuron_visits", [])
        if self._visit in visits:
            visits.remove(self._visit)
        if not visits and "_neuron_visits" in state:
            del state["_neuron_visits"], state["forward"]
            own = state.pop("_own_forward")
            if own is not None:
                state["forward"] = own
