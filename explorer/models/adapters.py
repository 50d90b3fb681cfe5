"""PEFT adapters, read from their own format and put on a model.

(IA)³ on `down_proj` (whatever a family calls it) is kept as a scale vector per layer, never merged into the
weights: merged, the factor would move behind the neuron and its activation would no longer be what
`down_proj` receives.
Everything else (LoRA) is merged by peft.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from explorer.errors import ExplorerError, first_line
from explorer.models.families import FAMILIES
from explorer.runs.format import sha256_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_DOWN_NAMES = {family.down_proj.rpartition(".")[2] for family in FAMILIES if not family.experts}
"""What families call the map whose input the neurons are."""

_PEFT_PREFIX = "base_model.model."


def adapter_kind(folder: Path) -> str:
    """The adapter's `peft_type` in capitals, for instance "IA3" or "LORA".

    Raises:
        ExplorerError: the folder holds no readable PEFT adapter.
    """
    return str(_config(folder).get("peft_type", "")).upper()


def base_model(folder: Path) -> str:
    """The base model that the adapter says it was trained on.

    Raises:
        ExplorerError: the folder holds no readable PEFT adapter, or it does not say.
    """
    base = _config(folder).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ExplorerError(f"{folder} does not say which base model it belongs to; write a pair file that does.")
    return base


def is_down_only_ia3(folder: Path) -> bool:
    """Whether the adapter is (IA)³ on the input of `down_proj` and nothing else."""
    config = _config(folder)
    targets = config.get("target_modules") or []
    targets = [targets] if isinstance(targets, str) else targets
    return adapter_kind(folder) == "IA3" and all(str(t).split(".")[-1] in _DOWN_NAMES for t in targets)


def read_ia3(folder: Path, n_layers: int, n_neurons: int, names: Sequence[str] | None = None) -> np.ndarray:
    """The scale vectors of a down-only (IA)³ adapter, float32 [n_layers, n_neurons].

    Args:
        folder: of the adapter.
        n_layers, n_neurons: of the base model.
        names: of every layer's `down_proj` in the base model (`families.down_names`); those of Llama-like
            models when left out.

    Raises:
        ExplorerError: a vector is missing, is of another size, or scales another module.
    """
    from safetensors.numpy import load_file

    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise ExplorerError(f"{folder} has no adapter_model.safetensors; save the adapter with peft as safetensors.")
    scales = np.full((n_layers, n_neurons), np.nan, dtype=np.float32)
    layers = {name: i for i, name in enumerate(names or [f"model.layers.{i}.mlp.down_proj" for i in range(n_layers)])}
    for name, tensor in load_file(str(weights)).items():
        module = name.removeprefix(_PEFT_PREFIX).rpartition(".ia3_l")[0]
        layer = layers.get(module, -1)
        if layer < 0 and module.rpartition(".")[2] not in _DOWN_NAMES:
            raise ExplorerError(f"{folder} scales {name}; only (IA)³ on down_proj alone can be read.")
        if layer < 0 or tensor.size != n_neurons:
            raise ExplorerError(
                f"{folder} holds {tensor.size} factors for {module}, but the base model has {n_layers} layers of "
                f"{n_neurons} neurons; use the adapter with the base model it was trained on."
            )
        scales[layer] = tensor.reshape(-1)
    if np.isnan(scales).any():
        missing = int(np.argmax(np.isnan(scales).any(axis=1)))
        raise ExplorerError(f"{folder} has no factors for layer {missing} of the base model; train it on every layer.")
    return scales


def merge(model: "PreTrainedModel", folder: Path) -> "PreTrainedModel":
    """The model with a LoRA adapter merged into its weights by peft.

    Raises:
        ExplorerError: the adapter is (IA)³ on more than `down_proj`, or peft cannot load it.
    """
    from peft import PeftModel

    if adapter_kind(folder) == "IA3":
        raise ExplorerError(f"{folder} is (IA)³ on more than down_proj; only (IA)³ on down_proj alone can be read.")
    try:
        return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    except (ValueError, RuntimeError, OSError) as problem:
        raise ExplorerError(f"The adapter {folder} does not fit its base model: {first_line(problem)}") from problem


def digest(folder: Path) -> str:
    """SHA-256 of the adapter's weights file, for manifests."""
    for name in ("adapter_model.safetensors", "adapter_model.bin"):
        if (folder / name).is_file():
            return sha256_file(folder / name)
    raise ExplorerError(f"{folder} holds no adapter weights.")


def _config(folder: Path) -> dict:
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except OSError as problem:
        raise ExplorerError(f"{folder} is no PEFT adapter: it has no readable adapter_config.json.") from problem
    except ValueError as problem:
        raise ExplorerError(f"{folder / 'adapter_config.json'} is not valid JSON; save the adapter again.") from problem
    if not isinstance(config, dict):
        raise ExplorerError(f"{folder / 'adapter_config.json'} is not a PEFT configuration; save the adapter again.")
    return config
