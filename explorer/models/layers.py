"""The layers of a model as neurons: how many there are, how to watch or change them, what they write.

    for layer in neuron_layers(model):
        handle = layer.attach(lambda neurons: seen.append(neurons))

Everything that touches neurons goes through these objects, whatever the architecture.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from explorer.models.expert_layer import ExpertNeurons, JoinedLayer, SharedNeurons, rows_of
from explorer.models.experts import RoutedExperts, reads_as_experts
from explorer.models.families import Family, blocks_of, family_of, find
from explorer.models.neuron_layer import Handle, NeuronLayer, NeuronVisit
from explorer.models.ragged import EmptyLayer, PaddedLayer

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
            rows[0] = rows_of(args, kwargs)

        def visit_by_row(h: torch.Tensor) -> torch.Tensor | None:
            if h.ndim == 3:
                return visit(h)
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
    """The layers of a model, in order: the encoder's, where it has one, then the decoder's; all of one width.

    A layer that is narrower than the widest one is padded (`ragged.py`).

    Raises:
        ExplorerError: the architecture is not known.
    """
    family, blocks = family_of(model), blocks_of(model)
    parts = family.parts or [_table_parts(block, family) for block in blocks]
    layers = [_layer(block, paths, family) for block, paths in zip(blocks, parts, strict=True)]
    widest = max(layer.width for layer in layers if layer is not None)
    hidden = model.config.get_text_config(decoder=True).hidden_size
    return [
        EmptyLayer(block, hidden, widest)
        if layer is None
        else layer
        if layer.width == widest
        else PaddedLayer(layer, widest)
        for block, layer in zip(blocks, layers, strict=True)
    ]


def _table_parts(block: nn.Module, family: Family) -> tuple[str, ...]:
    """The paths of a block's neurons, for a family of the table; some families mix dense and expert layers."""
    if not family.experts:
        return (family.down_proj,)
    mlp, path = find(block, family.down_proj), family.down_proj
    if not hasattr(mlp, "experts"):
        return (f"{path}.down_proj",)
    return (f"{path}.experts", *([f"{path}.shared_expert.down_proj"] if hasattr(mlp, "shared_expert") else []))


def _layer(block: nn.Module, paths: Sequence[str], family: Family) -> NeuronLayer | None:
    """The neurons of a block that lie at these paths; None where it has none."""
    if not paths:
        return None
    first = find(block, paths[0])
    if not reads_as_experts(first) and len(paths) == 1:
        return DenseLayer(block, first, family.flat)
    parts: list[ExpertNeurons | SharedNeurons] = []
    for path in paths:
        module = find(block, path)
        if reads_as_experts(module):
            parts.append(ExpertNeurons(RoutedExperts(module)))
        else:
            parts.append(SharedNeurons(module, _gate_of(block, path)))
    return JoinedLayer(block, find(block, _common(paths)), parts)


def _common(paths: Sequence[str]) -> str:
    """The path of the smallest module that holds the modules of all these; "" for the block itself."""
    split = [path.split(".") for path in paths]
    if len(paths) == 1:
        return paths[0]
    same = []
    for names in zip(*split, strict=False):
        if len(set(names)) > 1:
            break
        same.append(names[0])
    return ".".join(same)


def _gate_of(block: nn.Module, path: str) -> nn.Module | None:
    """The gate that weights a shared expert by its sigmoid: a map to one number, named after it, where there is one."""
    try:
        gate: nn.Module = find(block, f"{path.rpartition('.')[0]}_gate")
    except AttributeError:
        return None
    return gate if isinstance(gate, nn.Linear) and gate.out_features == 1 else None


def _pre_hook(visit: NeuronVisit) -> Callable:
    def hook(_module: nn.Module, args: tuple) -> tuple | None:
        changed = visit(args[0])
        return None if changed is None else (changed, *args[1:])

    return hook
