"""The two models of a pair as modules, and the factors of neurons beside them: what goes into weights, what is shared.

(first, down1), (second, down2) = split_adapters(spec.m1), split_adapters(spec.m2)
model1, model2, notes = load_models(loader, (first, second), spec.lora, tell)
scale2 = scale_of(down2, model2)
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from explorer.errors import ExplorerError
from explorer.models.families import down_names
from explorer.models.ia3 import has_neuron_factors, is_down_only_ia3, read_ia3
from explorer.models.layers import neuron_layers
from explorer.models.loader import Loader
from explorer.models.lora import why_merged, with_lora_beside
from explorer.models.pair_spec import MERGED, ModelSpec
from explorer.models.places import adapter_folder
from explorer.progress import NamedProgress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Models = tuple["PreTrainedModel", "PreTrainedModel", tuple[str, ...]]
"""M1, M2, and what people are to know of how they lie in memory."""


def load_models(loader: Loader, both: tuple[ModelSpec, ModelSpec], lora: str, tell: NamedProgress) -> Models:
    """M1 and M2; one module where they are the same.

    Args:
        loader: how they are loaded.
        both: what goes into the weights of M1 and of M2, of `split_adapters`.
        lora: see `pair_spec.PairSpec`.
        tell: progress callback.

    Raises:
        ExplorerError: one cannot be loaded whole, or an adapter does not fit.
    """
    notes: tuple[str, ...] = ()
    if lora != MERGED and any(model.adapters for model in both):
        found = _over_one_base(loader, both, tell)
        if not isinstance(found, str):
            return found
        notes = (f"LoRA is merged, into weights of each model's own: {found}.",)
    tell("Loading M1", 0.0)
    first = loader.load(both[0], tell)
    if both[0] == both[1]:
        return first, first, notes
    tell("Loading M2", 0.5)
    return first, loader.load(both[1], tell), notes


def _over_one_base(loader: Loader, both: tuple[ModelSpec, ModelSpec], tell: NamedProgress) -> Models | str:
    """Both models over one set of weights, LoRA beside them; or why that cannot be."""
    base, other = (ModelSpec(model.base, (), model.revision) for model in both)
    if base != other:
        return f"M1 and M2 have other bases, {base.base} and {other.base}"
    if loader.quantisation:
        return "quantised weights are merged"
    for folder in dict.fromkeys(Path(a) for model in both for a in model.adapters):
        reason = why_merged(folder)
        if reason:
            return f"{folder.name} cannot stay beside weights, since {reason}"
    tell("Loading the base of both models", 0.0)
    module = loader.load(base, tell)
    models = []
    for model in dict.fromkeys(both):
        made = with_lora_beside(module, [Path(a) for a in model.adapters]) if model.adapters else module
        if made is None:
            return "it is not on plain linear maps"
        models.append(made)
    note = "M1 and M2 share the weights of their base; LoRA is computed beside them."
    return models[0], models[-1], (note,)


def split_adapters(model: ModelSpec) -> tuple[ModelSpec, list[Path]]:
    """The part of a model that goes into weights, and its adapters with factors of neurons; (IA)³ may be both.

    The two commute as long as nothing merged *after* an (IA)³ vector changes `down_proj` itself.
    """
    folders = [adapter_folder(a) for a in model.adapters]
    down = [f for f in folders if has_neuron_factors(f)]
    merged = [f for f in folders if not is_down_only_ia3(f)]
    if down and merged and folders.index(merged[-1]) > folders.index(down[0]):
        raise ExplorerError(
            f"{merged[-1]} comes after an (IA)³ adapter; list adapters that are merged into the weights first."
        )
    return ModelSpec(model.base, tuple(str(f) for f in merged), model.revision), down


def scale_of(folders: list[Path], model: "PreTrainedModel") -> list[torch.Tensor] | None:
    """The product of (IA)³ vectors for each layer, float32 [n_neurons] on that layer's device; None for none."""
    if not folders:
        return None
    shape = neuron_shape(model)
    product = torch.ones(shape)
    for folder in folders:
        product *= torch.from_numpy(read_ia3(folder, *shape, down_names(model)))
    return [factors.to(layer.device) for factors, layer in zip(product, neuron_layers(model), strict=True)]


def neuron_shape(model: "PreTrainedModel") -> tuple[int, int]:
    """Layers, and neurons in the widest of them."""
    layers = neuron_layers(model)
    return len(layers), layers[0].width
