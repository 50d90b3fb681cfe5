"""Watch or change the neurons of a model, and always let go.

with neuron_hooks(model, lambda layer, neurons: seen.append(neurons)):
    model(input_ids)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from explorer.models.families import down_projections

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Visit = Callable[[int, "torch.Tensor"], "torch.Tensor | None"]


@contextmanager
def neuron_hooks(model: "PreTrainedModel", visit: Visit) -> Iterator[None]:
    """Call `visit(layer, neurons)` before each `down_proj`, for as long as the block lasts.

    Args:
        model: a model of a known family.
        visit: gets the layer from 0 and the neurons' activations [rows, positions, n_neurons]; what
            it returns takes their place, None leaves them.

    An exception in `visit` reaches the caller of the model: a patch that fails is never passed over.
    """
    handles = []
    try:
        for layer, down in enumerate(down_projections(model)):
            handles.append(down.register_forward_pre_hook(_pre_hook(layer, visit)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _pre_hook(layer: int, visit: Visit) -> Callable:
    def hook(_module: object, args: tuple) -> tuple | None:
        changed = visit(layer, args[0])
        return None if changed is None else (changed, *args[1:])

    return hook
