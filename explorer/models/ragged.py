"""Layers of unlike width, as layers of the widest one's: what a narrower layer lacks is 0 and stays so.

A neuron is (layer, index) in every model; arrays over neurons are [layers, width of the widest]. The places that no
neuron has are 0 in every activation, whatever a visit writes there is dropped, and they are never ranked, drawn or
chosen (`Pair.widths`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from explorer.models.expert_layer import rows_of
from explorer.models.neuron_layer import Handle, NeuronLayer, NeuronVisit


class PaddedLayer:
    """A layer that is narrower than others; see `neuron_layer.NeuronLayer`.

    Attributes:
        own: the layer itself.
        width: of the widest layer.
    """

    def __init__(self, own: NeuronLayer, width: int) -> None:
        self.own, self.width = own, width

    @property
    def device(self) -> torch.device:
        return self.own.device

    def attach(self, visit: NeuronVisit) -> Handle:
        """See `neuron_layer.NeuronLayer.attach`."""
        own = self.own.width

        def visit_padded(h: torch.Tensor) -> torch.Tensor:
            padded = functional.pad(h, (0, self.width - own))
            changed = visit(padded)
            return (padded if changed is None else changed)[..., :own]

        return self.own.attach(visit_padded)

    def columns(self, neurons: Sequence[int]) -> torch.Tensor:
        """See `neuron_layer.NeuronLayer.columns`; 0 where there is no neuron."""
        there = torch.as_tensor(neurons) < self.own.width
        columns = self.own.columns([int(n) if n < self.own.width else 0 for n in neurons])
        return columns * there.to(columns)[:, None]

    def write(self, neurons: torch.Tensor) -> torch.Tensor:
        """See `neuron_layer.NeuronLayer.write`."""
        return self.own.write(neurons[..., : self.own.width])


class EmptyLayer:
    """A block without an MLP, whose visits see activations of 0; see `neuron_layer.NeuronLayer`."""

    def __init__(self, block: nn.Module, hidden: int, width: int) -> None:
        self._block, self._hidden, self.width = block, hidden, width

    @property
    def device(self) -> torch.device:
        return next(self._block.parameters()).device

    def attach(self, visit: NeuronVisit) -> Handle:
        """See `neuron_layer.NeuronLayer.attach`."""

        def see_nothing(_block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            stream = args[0] if args else kwargs["hidden_states"]
            visit(stream.new_zeros(rows_of(args, kwargs), stream.shape[1], self.width))

        return self._block.register_forward_pre_hook(see_nothing, with_kwargs=True)

    def columns(self, neurons: Sequence[int]) -> torch.Tensor:
        """See `neuron_layer.NeuronLayer.columns`: there are none."""
        return next(self._block.parameters()).new_zeros(len(neurons), self._hidden)

    def write(self, neurons: torch.Tensor) -> torch.Tensor:
        """See `neuron_layer.NeuronLayer.write`: nothing."""
        return neurons.new_zeros(*neurons.shape[:-1], self._hidden)


def own_width(layer: NeuronLayer) -> int:
    """How many neurons a layer has itself."""
    return 0 if isinstance(layer, EmptyLayer) else layer.own.width if isinstance(layer, PaddedLayer) else layer.width
