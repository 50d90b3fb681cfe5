"""Watch or change the neurons of a model, and always let go.

with neuron_hooks(model, lambda layer, neurons: seen.append(neurons)):
    model(input_ids)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
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


def check_hooks(model: "PreTrainedModel") -> None:
    """Read two short texts and see that every layer's neurons pass by once, in order and in their shape.

    For models that were recognised by their structure: one that is built alike but computes otherwise is refused.

    Raises:
        ExplorerError: they do not.
    """
    import torch

    seen: list[tuple[int, tuple[int, ...]]] = []
    ids = torch.tensor([[0, 1, 2], [2, 1, 0]], device=model.device)
    with torch.inference_mode(), neuron_hooks(model, lambda layer, h: seen.append((layer, tuple(h.shape)))):
        model(input_ids=ids, use_cache=False)
    expected = [(number, (2, 3, layer.width)) for number, layer in enumerate(neuron_layers(model))]
    if seen != expected:
        raise ExplorerError(
            f"Models of type “{model.config.model_type}” are not in the table of families, and their neurons do not "
            "pass through each layer's MLP once, in order."
        )
