"""Where each architecture keeps its MLP neurons: one table, read by everything that hooks a model.

A neuron is one dimension of what `down_proj` receives (method.md): act(W_gate x) * W_up x for a
gated MLP, act(W_in x) for a plain one.
"""

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Family:
    """Where a family of models keeps the parts that we read.

    Attributes:
        model_types: `config.model_type` of the models it covers.
        layers: path from the causal language model to its list of blocks.
        down_proj: path from a block to the linear map whose input holds the neurons.
        norm: path from the causal language model to the norm before the unembedding.
    """

    model_types: tuple[str, ...]
    layers: str
    down_proj: str
    norm: str


FAMILIES = (
    Family(
        ("llama", "mistral", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3", "phi3", "olmo2"),
        layers="model.layers",
        down_proj="mlp.down_proj",
        norm="model.norm",
    ),
)


def family_of(model: "PreTrainedModel") -> Family:
    """The family of a loaded model.

    Raises:
        ExplorerError: the architecture is not in the table.
    """
    kind = model.config.model_type
    for family in FAMILIES:
        if kind in family.model_types:
            return family
    known = ", ".join(name for family in FAMILIES for name in family.model_types)
    raise ExplorerError(f"Models of type “{kind}” are not in the table of families yet; known are {known}.")


def down_projections(model: "PreTrainedModel") -> "list[nn.Linear]":
    """The `down_proj` of every layer, in order."""
    family = family_of(model)
    down = attrgetter(family.down_proj)
    return [down(block) for block in attrgetter(family.layers)(model)]


def final_norm(model: "PreTrainedModel") -> "nn.Module":
    """The norm between the last layer and the unembedding."""
    return attrgetter(family_of(model).norm)(model)
