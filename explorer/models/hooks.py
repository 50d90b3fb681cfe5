"""Watch or change the neurons of a model, and always let go.

with neuron_hooks(model, lambda layer, neurons: seen.append(neurons)):
    model(input_ids)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from explorer.models.layers import neuron_layers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LayerVisit = Callable[[int, "torch.Tensor"], "torch.Tensor | None"]
"""Gets a layer and its neurons' activations [rows, positions, n_neurons]; it may change them in place, or return what
takes their place."""


@contextmanager
def neuron_hooks(model: "PreTrainedModel", visit: LayerVisit) -> Iterator[None]:
    """Call `visit(layer, neurons)` before the neurons of each layer are written, for as long as the block lasts.

    Args:
        model: a model of a known family.
        visit: gets the layer from 0 and the neurons' activations [rows, positions, n_neurons]; what
            it returns takes their place, None leaves them.

    An exception in `visit` reaches the caller of the model: a patch that fails is never passed over.
    """
    handles = []
    try:
        for number, layer in enumerate(neuron_layers(model)):
            handles.append(layer.attach(partial(visit, number)))
        yield
    finally:
        for handle in handles:
            handle.remove()
