"""Where each architecture keeps its MLP neurons: one table, read by everything that hooks a model.

A neuron is one dimension of what `down_proj` receives (method.md): act(W_gate x) * W_up x for a
gated MLP, act(W_in x) for a plain one. `layers.py` turns a row of the table into layers to watch.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, reduce
from inspect import signature
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Family:
    """Where a family of models keeps the parts that we read; paths are dotted, numbers index lists.

    Attributes:
        name: for people.
        model_types: `config.model_type` of the models it covers.
        layers: path from the model to its list of decoder blocks; "" for a model that writes no text.
        down_proj: path from a block to the linear map whose input holds the neurons; of a mixture of
            experts, to the module that routes (`experts.py`).
        norm: path from the model to the norm before the unembedding; "" where there is none.
        encoder_layers: path from the model to its list of encoder blocks; "" where there is none.
        experts: whether the MLP is a mixture of experts.
        flat: whether the MLP sees positions without rows, [rows × positions, size].
        body: path from the model to what gives its final hidden states; "" for transformers' own `base_model`.
        parts: of a type that is not in the table, for each block the paths of its experts and of its linear maps, see
            `structure.Structure`; none for the types of the table.
    """

    name: str
    model_types: tuple[str, ...]
    layers: str
    down_proj: str
    norm: str
    encoder_layers: str = ""
    experts: bool = False
    flat: bool = False
    body: str = ""
    parts: tuple[tuple[str, ...], ...] = ()

    @property
    def kind(self) -> str:
        """ "decoder", "encoder-decoder" or "encoder"."""
        if not self.encoder_layers:
            return "decoder"
        return "encoder-decoder" if self.layers else "encoder"

    @property
    def place(self) -> str:
        """Where its neurons are, in words that can be looked up in a model's printout."""
        inside = self.down_proj or ", ".join(dict.fromkeys(path for own in self.parts for path in own))
        return " and ".join(f"{path}[…].{inside}" for path in (self.encoder_layers, self.layers) if path)


FAMILIES = (
    Family(
        "Llama and its kind",
        ("llama", "mistral", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3", "phi3", "olmo2"),
        layers="model.layers",
        down_proj="mlp.down_proj",
        norm="model.norm",
    ),
    Family("GPT-2", ("gpt2",), layers="transformer.h", down_proj="mlp.c_proj", norm="transformer.ln_f"),
    Family(
        "GPT-NeoX, Pythia",
        ("gpt_neox",),
        layers="gpt_neox.layers",
        down_proj="mlp.dense_4h_to_h",
        norm="gpt_neox.final_layer_norm",
    ),
    Family(
        "OPT",
        ("opt",),
        layers="model.decoder.layers",
        down_proj="fc2",
        norm="model.decoder.final_layer_norm",
        flat=True,
    ),
    Family("Falcon", ("falcon",), layers="transformer.h", down_proj="mlp.dense_4h_to_h", norm="transformer.ln_f"),
    Family(
        "Mixtral, Qwen-MoE",
        ("mixtral", "qwen2_moe", "qwen3_moe"),
        layers="model.layers",
        down_proj="mlp",
        norm="model.norm",
        experts=True,
    ),
    Family(
        "T5, FLAN-T5",
        ("t5", "mt5"),
        layers="decoder.block",
        down_proj="layer.-1.DenseReluDense.wo",
        norm="decoder.final_layer_norm",
        encoder_layers="encoder.block",
    ),
    Family(
        "BART",
        ("bart", "marian", "plbart", "blenderbot-small"),
        layers="model.decoder.layers",
        down_proj="fc2",
        norm="",
        encoder_layers="model.encoder.layers",
    ),
    Family(
        "mBART, Pegasus, M2M-100, NLLB",
        ("mbart", "pegasus", "m2m_100", "blenderbot"),
        layers="model.decoder.layers",
        down_proj="fc2",
        norm="model.decoder.layer_norm",
        encoder_layers="model.encoder.layers",
    ),
    Family("BERT", ("bert",), layers="", down_proj="output.dense", norm="", encoder_layers="bert.encoder.layer"),
    Family(
        "RoBERTa",
        ("roberta", "xlm-roberta", "camembert"),
        layers="",
        down_proj="output.dense",
        norm="",
        encoder_layers="roberta.encoder.layer",
    ),
    Family(
        "ELECTRA", ("electra",), layers="", down_proj="output.dense", norm="", encoder_layers="electra.encoder.layer"
    ),
    Family(
        "DeBERTa", ("deberta-v2",), layers="", down_proj="output.dense", norm="", encoder_layers="deberta.encoder.layer"
    ),
    Family(
        "DistilBERT",
        ("distilbert",),
        layers="",
        down_proj="ffn.lin2",
        norm="",
        encoder_layers="distilbert.transformer.layer",
    ),
    Family("ModernBERT", ("modernbert",), layers="", down_proj="mlp.Wo", norm="", encoder_layers="model.layers"),
)


_found: "weakref.WeakKeyDictionary[PreTrainedModel, Family]" = weakref.WeakKeyDictionary()
"""Families that were found by structure."""


def family_named(model_type: str) -> Family | None:
    """The family in the table that covers a model type, or None."""
    return next((family for family in FAMILIES if model_type in family.model_types), None)


def family_of(model: "PreTrainedModel") -> Family:
    """The family of a loaded model: by its type, or by its structure where the type is not in the table.

    Raises:
        ExplorerError: the type is not in the table, and the model's neurons cannot be found by its structure.
    """
    known = family_named(model.config.model_type)
    if known is not None and _fits(model, known):
        return known
    if model not in _found:
        _found[model] = _family_by_structure(model)
    return _found[model]


def is_known(model: "PreTrainedModel") -> bool:
    """Whether the table says where this model's neurons are, so that nothing had to be found out."""
    return not family_of(model).parts


def same_family(copy: "PreTrainedModel", original: "PreTrainedModel") -> None:
    """What is known of a model holds for its copy, too."""
    if original in _found:
        _found[copy] = _found[original]


def _fits(model: "PreTrainedModel", family: Family) -> bool:
    """Whether a model is of the kind that the table's row tells of: BERT and BART may also be built as decoders."""
    if family.kind == "encoder":
        return model.get_output_embeddings() is None
    return family.kind == "decoder" or bool(model.config.is_encoder_decoder)


def _family_by_structure(model: "PreTrainedModel") -> Family:
    from explorer.models.structure import structure_of

    kind = model.config.model_type
    if getattr(model.config, "is_encoder_decoder", False):
        raise ExplorerError(
            f"Encoder–decoders of type “{kind}” are not in the table of families, and only decoders are recognised by "
            "their structure."
        )
    if model.get_output_embeddings() is None:
        raise ExplorerError(
            f"Models of type “{kind}” have no unembedding, so they write no text that could be patched."
        )
    found = structure_of(model)
    places = set(found.parts)
    experts = any(len(own) > 1 or own[0].endswith("experts") for own in found.parts if own)
    down = found.parts[0][0] if len(places) == 1 and not experts else ""
    like = next((f.name for f in FAMILIES if (f.layers, f.down_proj) == (found.layers, down)), "")
    return Family(
        like or f"“{kind}”, by its structure",
        (kind,),
        found.layers,
        down,
        found.norm,
        experts=experts,
        flat=found.flat,
        body=found.body,
        parts=found.parts,
    )


def blocks_of(model: "PreTrainedModel") -> "list[nn.Module]":
    """The blocks of a model: those of the encoder, where it has one, then those of the decoder."""
    family = family_of(model)
    return [block for path in (family.encoder_layers, family.layers) if path for block in find(model, path)]


def parts_of(model: "PreTrainedModel") -> dict[str, range]:
    """Which layers are whose: the ranges of "encoder" and "decoder", where there is such a part."""
    family = family_of(model)
    parts, start = {}, 0
    for name, path in (("encoder", family.encoder_layers), ("decoder", family.layers)):
        if path:
            parts[name] = range(start, start + len(find(model, path)))
            start = parts[name].stop
    return parts


def body_of(model: "PreTrainedModel") -> "nn.Module":
    """What gives a model's final hidden states: all of it but the unembedding and what belongs to that."""
    family = family_of(model)
    body: nn.Module = find(model, family.body) if family.body else model.base_model
    return body


def with_cache(module: "nn.Module", held: Any) -> dict[str, Any]:
    """The argument by which a module's forward takes a KV cache: transformers calls it `cache` from 5.24 on."""
    return {_cache_name(type(module).forward): held}


@cache
def _cache_name(forward: Callable[..., Any]) -> str:
    return "cache" if "cache" in signature(forward).parameters else "past_key_values"


def down_projections(model: "PreTrainedModel") -> "list[nn.Linear]":
    """The `down_proj` of every layer, in order.

    Raises:
        ExplorerError: the model is a mixture of experts, which has one for every expert.
    """
    family = family_of(model)
    if family.experts or not family.down_proj:
        raise ExplorerError(f"{family.name}: a mixture of experts, or of blocks, has no single down_proj in a layer.")
    return [find(block, family.down_proj) for block in blocks_of(model)]


def down_names(model: "PreTrainedModel") -> list[str]:
    """The name of every layer's `down_proj` among the model's modules: where adapters scale neurons."""
    names = {id(module): name for name, module in model.named_modules()}
    return [names[id(down)] for down in down_projections(model)]


def final_norm(model: "PreTrainedModel") -> "nn.Module":
    """What stands between the last layer and the unembedding: the norm, and OPT's projection where it has one."""
    from torch import nn

    family = family_of(model)
    norm = find(model, family.norm) if family.norm else None
    project = getattr(find(model, family.norm.rpartition(".")[0]), "project_out", None) if family.norm else None
    return nn.Sequential(*(part for part in (norm, project) if part is not None))


def find(module: "nn.Module", path: str) -> Any:
    """The part of a module that a dotted path names.

    Raises:
        AttributeError, IndexError: there is none.
    """

    def step(place: Any, name: str) -> Any:
        return place[int(name)] if name.lstrip("-").isdigit() else getattr(place, name)

    return reduce(step, path.split(".") if path else [], module)
