"""The layers of a model as neurons: how many there are, how to watch or change them, what they write.

    for layer in neuron_layers(model):
        handle = layer.attach(lambda neurons: seen.append(neurons))

Everything that touches neurons goes through these objects, whatever the architecture.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from explorer.models.experts import ExpertLayer, check_experts
from explorer.models.families import blocks_of, family_of, find
from explorer.models.neuron_layer import Handle, NeuronLayer, NeuronVisit

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class DenseLayer:
    """A plain or gated MLP: its neurons are the input of one linear map.

    Attributes:
        down: that map (a Linear, GPT-2's Conv1D, or a quantised Linear).
    """

    def __init__(self, block: nn.Module, down: nn.Module, flat: bool) -> None:
        self._block, self.down, self._flat = block, down, flat

    @property
    def width(self) -> int:
        down: Any = self.down
        return int(down.in_features if hasattr(down, "in_features") else down.weight.shape[0])

    @property
    def device(self) -> torch.device:
        weight: Any = self.down.weight
        return weight.device

    def attach(self, visit: NeuronVisit) -> Handle:
        """See `NeuronLayer.attach`."""
        if not self._flat:
            return self.down.register_forward_pre_hook(_pre_hook(visit))
        rows = [0]  # of the forward pass that is going on

        def count_rows(_block: nn.Module, args: tuple, kwargs: dict) -> None:
            rows[0] = len(args[0] if args else kwargs["hidden_states"])

        def visit_by_row(h: torch.Tensor) -> torch.Tensor | None:
            changed = visit(h.view(rows[0], -1, h.shape[-1]))
            return None if changed is None else changed.reshape(h.shape)

        return Handles(
            self._block.register_forward_pre_hook(count_rows, with_kwargs=True),
            self.down.register_forward_pre_hook(_pre_hook(visit_by_row)),
        )

    def write(self, neurons: torch.Tensor) -> torch.Tensor:
        """See `NeuronLayer.write`."""
        weight: Any = self.down.weight
        written: torch.Tensor = self.down(neurons.to(weight.dtype) if weight.is_floating_point() else neurons)
        return written

    def columns(self, neurons: Sequence[int]) -> torch.Tensor:
        """See `NeuronLayer.columns`."""
        weight: Any = self.down.weight
        index = torch.as_tensor(neurons, device=weight.device)
        if isinstance(self.down, nn.Linear) and weight.is_floating_point():
            return weight[:, index].T
        if not hasattr(self.down, "in_features"):  # Conv1D keeps its weight the other way round
            return weight[index]
        # A quantised weight cannot be indexed: read each column off the map itself.
        bias: Any = self.down.bias
        units = torch.zeros(len(index), self.width, device=weight.device, dtype=torch.float16)
        written = self.down(units.scatter_(1, index[:, None], 1.0))
        return written if bias is None else written - bias


class Handles:
    """Several handles as one."""

    def __init__(self, *handles: Handle) -> None:
        self._handles = handles

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def neuron_layers(model: "PreTrainedModel") -> list[NeuronLayer]:
    """The layers of a model, in order: the encoder's, where it has one, then the decoder's.

    Raises:
        ExplorerError: the architecture is not known.
    """
    family, blocks = family_of(model), blocks_of(model)
    if family.experts:
        return [ExpertLayer(check_experts(find(block, family.down_proj), family)) for block in blocks]
    return [DenseLayer(block, find(block, family.down_proj), family.flat) for block in blocks]


def _pre_hook(visit: NeuronVisit) -> Callable:
    def hook(_module: nn.Module, args: tuple) -> tuple | None:
        changed = visit(args[0])
        return None if changed is None else (changed, *args[1:])

    return hook
