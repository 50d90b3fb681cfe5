"""What a layer of neurons can do, whatever its architecture: be watched, be changed, and say what it writes."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

NeuronVisit = Callable[[torch.Tensor], "torch.Tensor | None"]
"""Gets the activations [rows, positions, width]; it may change them in place, or return what takes their place."""


class Handle(Protocol):
    """What holds a visit in place."""

    def remove(self) -> None: ...


class NeuronLayer(Protocol):
    """The neurons of one layer.

    Attributes:
        width: how many there are.
        device: where their activations are.
    """

    @property
    def width(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def attach(self, visit: NeuronVisit) -> Handle:
        """Call `visit` before the neurons are written to the residual stream, until the handle is removed."""
        ...

    def columns(self, neurons: Sequence[int]) -> torch.Tensor:
        """What these neurons write to the residual stream at activation 1, [neurons, hidden]."""
        ...

    def write(self, neurons: torch.Tensor) -> torch.Tensor:
        """What the layer makes of activations [..., width]: [..., hidden], before any norm of the block; unhooked."""
        ...
