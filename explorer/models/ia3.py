"""(IA)³ adapters, read from peft's files: factors of neurons, and factors of anything else.

A vector on the *input* of a layer's down-projection is one factor a neuron, and stays a factor (method.md: the neuron
is what `down_proj` receives, after the scale). A vector on anything else, keys and values by peft's own defaults,
scales rows or columns of a weight and is merged into it. A layer that the adapter was not made for has the factor 1.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.errors import ExplorerError
from explorer.models.adapters import PEFT_PREFIX, adapter_kind, read_config, some_names
from explorer.models.families import FAMILIES, down_names
from explorer.models.places import adapter_weights

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

_VECTOR = ".ia3_l"
_DOWN_PLACE = re.compile(
    r"(?:^|\.)\d+\.(?:"
    + "|".join(re.escape(f.down_proj).replace(r"\-1", r"\d+") for f in FAMILIES if not f.experts)
    + r")$"
)
"""The end of the name of a family's down-projection: the number of its block and the place in it."""


@dataclass(frozen=True)
class Vector:
    """One (IA)³ vector.

    Attributes:
        module: name of the linear map in the base model.
        values: float32 [size].
        on_input: whether it scales what the map receives; else what it gives.
    """

    module: str
    values: np.ndarray
    on_input: bool

    @property
    def is_down(self) -> bool:
        """Whether it holds a factor for each neuron of a layer, as far as its name says."""
        return self.on_input and _ends_like_down(self.module)


def _ends_like_down(module: str) -> bool:
    return _DOWN_PLACE.search(module) is not None


def has_neuron_factors(folder: Path) -> bool:
    """Whether the adapter is (IA)³ with factors of neurons."""
    return adapter_kind(folder) == "IA3" and any(v.is_down for v in read_vectors(folder))


def is_down_only_ia3(folder: Path) -> bool:
    """Whether the adapter is (IA)³ on the input of down-projections and nothing else."""
    if adapter_kind(folder) != "IA3":
        return False
    return all(v.is_down for v in read_vectors(folder)) and not _other_tensors(folder)


def read_vectors(folder: Path) -> list[Vector]:
    """All vectors of an (IA)³ adapter, by the names of the modules that they scale.

    Raises:
        ExplorerError: the file is damaged, a value is no number, or a shape contradicts the adapter's settings.
    """
    config, found = read_config(folder), []
    for name, values in _tensors(folder).items():
        if not name.endswith(_VECTOR):
            continue
        if not np.isfinite(values).all():
            raise ExplorerError(f"{folder} has factors in {name} that are NaN or infinite; train or save it again.")
        module = name.removeprefix(PEFT_PREFIX).removesuffix(_VECTOR)
        found.append(Vector(module, values.reshape(-1), _scales_input(config, module, values.shape, folder)))
    if not found:
        raise ExplorerError(f"{folder} holds no (IA)³ vectors; save the adapter again with peft.")
    return found


def read_ia3(folder: Path, n_layers: int, n_neurons: int, names: Sequence[str] | None = None) -> np.ndarray:
    """The neurons' factors of an (IA)³ adapter, float32 [n_layers, n_neurons]; 1 where it was not made for a layer.

    Args:
        folder: of the adapter.
        n_layers, n_neurons: of the base model.
        names: of every layer's `down_proj` in the base model (`families.down_names`); those of Llama-like
            models when left out.

    Raises:
        ExplorerError: a layer's vector is missing, is of another size, or belongs to no layer of the base model.
    """
    names = list(names or [f"model.layers.{i}.mlp.down_proj" for i in range(n_layers)])
    vectors = {v.module: v for v in read_vectors(folder) if v.is_down}
    _check_modules(vectors, names, folder)
    missing = [name for name in names if name not in vectors and _is_target(read_config(folder), name)]
    if missing:
        raise ExplorerError(
            f"{folder} has no factors for {some_names(missing)}, which its settings say it scales; save the adapter "
            "again, whole."
        )
    scales = np.ones((n_layers, n_neurons), dtype=np.float32)
    for layer, name in enumerate(names):
        if name in vectors:
            if vectors[name].values.size != n_neurons:
                raise ExplorerError(
                    f"{folder} holds {vectors[name].values.size} factors for {name}, but the base model has {n_layers} "
                    f"layers of {n_neurons} neurons; use the adapter with the base model it was trained on."
                )
            scales[layer] = vectors[name].values
    return scales


def merge_ia3(model: "PreTrainedModel", folder: Path) -> "PreTrainedModel":
    """The model with every (IA)³ vector that is not of neurons multiplied into the weights, as peft merges it.

    Weights that were saved whole beside the vectors (`modules_to_save`) take the place of the model's.

    Raises:
        ExplorerError: a vector or a weight does not fit, is missing, or the weights are quantised.
    """
    import torch

    modules, downs = dict(model.named_modules()), set(down_names(model))
    vectors = {v.module: v for v in read_vectors(folder)}
    _check_modules(vectors, modules, folder)
    _put_whole_weights(model, folder)
    config = read_config(folder)
    wanted = [name for name, module in modules.items() if _width(module, True) and _is_target(config, name)]
    missing = [name for name in wanted if name not in vectors]
    if missing:
        raise ExplorerError(
            f"{folder} has no factors for {some_names(missing)}, which its settings say it scales; save the adapter "
            "again, whole."
        )
    for name, vector in vectors.items():
        if vector.on_input and name in downs:
            continue
        module: Any = modules[name]
        if _width(module, vector.on_input) != vector.values.size:
            raise ExplorerError(
                f"{folder} holds {vector.values.size} factors for {name}, which is no linear map of that size; use the "
                "adapter with the base model it was trained on, not quantised."
            )
        factors = torch.from_numpy(vector.values).to(module.weight.device)
        rows = vector.on_input == _is_transposed(module)
        with torch.no_grad():
            scaled = module.weight.float() * (factors[:, None] if rows else factors)
            module.weight.data = scaled.to(module.weight.dtype)
            if not vector.on_input and getattr(module, "bias", None) is not None:
                module.bias.data = (module.bias.float() * factors).to(module.bias.dtype)
    return model


def _put_whole_weights(model: "PreTrainedModel", folder: Path) -> None:
    import torch

    weights = model.state_dict()
    for name, tensor in _other_tensors(folder).items():
        own = weights.get(name.removeprefix(PEFT_PREFIX).replace(".base_layer.", "."))
        if own is None or tuple(own.shape) != tensor.shape:
            raise ExplorerError(
                f"{folder} holds {name} of shape {list(tensor.shape)}, which the base model has not; use the adapter "
                "with the base model it was trained on."
            )
        with torch.no_grad():
            own.copy_(torch.from_numpy(tensor))


def _other_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Tensors of the file that are no (IA)³ vectors."""
    return {name: tensor for name, tensor in _tensors(folder).items() if not name.endswith(_VECTOR)}


def _tensors(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of an adapter by name, as float32 (numpy knows no bfloat16)."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = adapter_weights(folder)
    try:
        return {name: tensor.float().numpy() for name, tensor in load_file(str(file)).items()}
    except (SafetensorError, OSError, TypeError, ValueError) as problem:
        raise ExplorerError(f"{file} is not a readable safetensors file; save the adapter again.") from problem


def _check_modules(vectors: dict[str, Vector], known: Iterable[str], folder: Path) -> None:
    strange = set(vectors) - set(known)
    if strange:
        raise ExplorerError(
            f"{folder} scales {some_names(strange)}, which the base model has not; use the adapter with the base model "
            "it was trained on."
        )


def _scales_input(config: dict[str, Any], module: str, shape: tuple[int, ...], folder: Path) -> bool:
    """Whether a vector scales its map's input: by peft's settings, and by its shape, [1, inputs] or [outputs, 1]."""
    said = _matches(config.get("feedforward_modules"), module, by_end=True)
    if len(shape) != 2 or shape[0] == shape[1]:
        return _ends_like_down(module) if said is None else said
    seen = shape[0] == 1
    if 1 not in shape or (said is not None and said != seen):
        raise ExplorerError(
            f"{folder} holds factors of shape {list(shape)} for {module}, which its feedforward_modules contradict; "
            "save the adapter again with peft."
        )
    return seen


def _is_target(config: dict[str, Any], module: str) -> bool:
    """Whether the adapter's settings say that it scales a module; False where they leave it to peft's defaults."""
    targets = config.get("target_modules")
    if targets in (None, "all-linear") or _matches(config.get("exclude_modules"), module):
        return False
    return bool(_matches(targets, module))


def _matches(names: Any, module: str, by_end: bool = False) -> bool | None:
    """Whether peft's setting (a regular expression, or names or their ends) means a module; None where it is not set.

    Args:
        names: the setting.
        module: the module's name.
        by_end: whether any end of the name will do, as peft reads `feedforward_modules`, or whole parts of it.
    """
    if names is None:
        return None
    if isinstance(names, str):
        try:
            return re.fullmatch(names, module) is not None
        except re.error:
            return False
    if not isinstance(names, list):
        return False
    return any(module == n or module.endswith(str(n) if by_end else f".{n}") for n in names)


def _width(module: "nn.Module", inputs: bool) -> int:
    """Inputs or outputs of a plain linear map; 0 for anything else."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear) and module.weight.is_floating_point():
        return module.in_features if inputs else module.out_features
    return int(module.weight.shape[0 if inputs else 1]) if isinstance(module, Conv1D) else 0


def _is_transposed(module: "nn.Module") -> bool:
    """Whether the weight is [inputs, outputs], as Conv1D keeps it."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)
