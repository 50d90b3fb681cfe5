"""Watch or change the attention of a model's blocks, head by head, and always let go.

with attention_hooks(model, Visit()):       # see `AttentionVisit`
    model(input_ids)

transformers lets a family's attention be computed by a function of one's own (its attention interface). Ours calls the
family's eager form, so that a soft cap, a sliding window or grouped heads are as the family has them, and shows on the
way the three things that attention consists of: what every head reads (values), from where (weights), and what comes
out. Families that compute their attention elsewhere are refused.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from explorer.errors import ExplorerError
from explorer.models.families import blocks_of, family_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "explorer_visited"
"""What our function is called among transformers' attention functions."""


class AttentionVisit:
    """What is done to the attention of each layer; a subclass says what it looks at. Nothing is changed in place."""

    def values(self, layer: int, values: torch.Tensor) -> torch.Tensor:
        """Gets the values [rows, key/value heads, positions, size] (with a cache, those of all positions so far) and
        gives those that are read."""
        return values

    def weights(self, layer: int, weights: torch.Tensor) -> torch.Tensor:
        """Gets the attention pattern [rows, heads, queries, positions], rows of which sum to 1, and gives the one that
        is used."""
        return weights

    def outputs(self, layer: int, outputs: torch.Tensor) -> torch.Tensor:
        """Gets every head's output before the output projection, [rows, queries, heads, size], and gives what goes
        on."""
        return outputs


_VISITED: dict[int, tuple[int, AttentionVisit, Callable]] = {}
"""For each attention module that is visited, by id: its layer, the visit, and its family's eager attention."""


@contextmanager
def attention_hooks(model: "PreTrainedModel", visit: AttentionVisit) -> Iterator[None]:
    """Call `visit` in the attention of each layer, for as long as the block lasts; one visit of a model at a time.

    The model's own attention function changes meanwhile for every thread: the caller holds the pair's lock.

    Args:
        model: a decoder.
        visit: see `AttentionVisit`; an exception in it reaches the caller of the model.

    Raises:
        ExplorerError: the family does not compute its attention through transformers' interface.
    """
    _register()
    modules = _attention_modules(model)
    configs = {id(c): c for c in (model.config, *(getattr(m, "config", None) for m in model.modules())) if c}
    before = {number: config._attn_implementation for number, config in configs.items()}
    try:
        _VISITED.update({number: (layer, visit, own) for number, (layer, own) in modules.items()})
        for config in configs.values():
            config._attn_implementation = NAME
        yield
    finally:
        for number, config in configs.items():
            config._attn_implementation = before[number]
        for number in modules:
            _VISITED.pop(number, None)


def check_attention(model: "PreTrainedModel") -> None:
    """Read two short texts and see that every layer's attention passes by once, in order.

    Raises:
        ExplorerError: it does not, or the model is no decoder.
    """
    family = family_of(model)
    if family.kind != "decoder":
        raise ExplorerError(
            f"Paths through attention are told apart in decoders only; this pair's models are of kind {family.kind}."
        )

    class Seen(AttentionVisit):
        def __init__(self) -> None:
            self.layers: list[int] = []

        def weights(self, layer: int, weights: torch.Tensor) -> torch.Tensor:
            self.layers.append(layer)
            return weights

    seen = Seen()
    ids = torch.tensor([[0, 1, 2], [2, 1, 0]], device=model.device)
    with torch.inference_mode(), attention_hooks(model, seen):
        model(input_ids=ids, use_cache=False)
    if seen.layers != list(range(len(blocks_of(model)))):
        raise ExplorerError(_refusal(model))


def _attention_modules(model: "PreTrainedModel") -> dict[int, tuple[int, Callable]]:
    """Modules of the blocks whose family has an eager attention function, by id, each with its layer and function."""
    found = {
        id(module): (layer, own)
        for layer, block in enumerate(blocks_of(model))
        for module in block.modules()
        if (own := _eager_attention(module)) is not None
    }
    if not found:
        raise ExplorerError(_refusal(model))
    return found


def _eager_attention(module: nn.Module) -> Callable | None:
    found: Callable | None = getattr(sys.modules.get(type(module).__module__), "eager_attention_forward", None)
    return found


def _refusal(model: "PreTrainedModel") -> str:
    return (
        f"Models of type “{model.config.model_type}” do not compute their attention through transformers' attention "
        "interface, so its patterns and values cannot be kept; leave this study out for this pair."
    )


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, eager_mask)


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A family's eager attention with the visits made on the way; shapes as of `AttentionVisit`."""
    layer, visit, own = _VISITED[id(module)]
    _, weights = own(module, query, key, value, attention_mask, **kwargs)
    weights, value = visit.weights(layer, weights), visit.values(layer, value)
    values = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
    outputs = torch.matmul(weights, values).transpose(1, 2)
    return visit.outputs(layer, outputs).contiguous(), weights
