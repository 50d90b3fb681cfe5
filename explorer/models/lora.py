"""LoRA beside the weights: a model of its own over the weights of another one, with low-rank maps added to its own.

    reason = why_merged(folder)                      # "" where the adapter can stay beside
    model = with_lora_beside(base, [folder])         # takes the memory of the adapter alone

A map that has one gives W x + B A x, where merging would have rounded W + B A once: the same up to rounding. A DPO
checkpoint and its SFT start, two adapters of one base, are then one base in memory, not two.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn import functional

from explorer.models.adapters import adapter_kind, read_config
from explorer.models.checkpoint import check_weights
from explorer.models.families import same_family
from explorer.models.loaded_once import Locks, share_lock
from explorer.models.merging import wrapped_by_peft
from explorer.models.places import adapter_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PARTS = (".lora_A.weight", ".lora_B.weight")
"""What the keys of a plain LoRA on linear maps end with; DoRA, embeddings, biases and whole modules have others."""

_OTHER = ("use_dora", "alora_invocation_tokens", "layer_replication", "target_parameters", "use_qalora", "lora_bias")
"""Settings that make of LoRA something else."""

_BEGINNINGS = (None, True, False, "gaussian", "orthogonal", "eva")
"""How a LoRA may have begun its training. Others (PiSSA, OLoRA, CorDA, LoftQ) take what they begin with from the
weights, which are then no longer the base's."""

_bases: "WeakKeyDictionary[nn.Module, PreTrainedModel]" = WeakKeyDictionary()


class LoraLinear(nn.Linear):
    """A linear map with a low-rank one added.

    Attributes:
        base: the map, whose weight may be another model's, too.
        down, up: [rank, inputs] and [outputs, rank], the latter with LoRA's scaling.
    """

    def __init__(self, base: nn.Linear, down: torch.Tensor, up: torch.Tensor) -> None:
        nn.Module.__init__(self)  # not Linear's, which would make weights
        self.in_features, self.out_features = base.in_features, base.out_features
        self.base = base
        self.register_buffer("down", down)
        self.register_buffer("up", up)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """What it would be merged, [outputs, inputs]; made anew each time."""
        return self.base.weight + self.up @ self.down  # type: ignore[operator]

    @property
    def bias(self) -> torch.Tensor | None:  # type: ignore[override]
        """Of the map; LoRA has none here."""
        return self.base.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From [..., inputs] to [..., outputs]."""
        return cast("torch.Tensor", self.base(x)) + self.added(x)

    def added(self, x: torch.Tensor) -> torch.Tensor:
        """What the low-rank map adds, [..., outputs]."""
        low = functional.linear(x, cast("torch.Tensor", self.down))
        return functional.linear(low, cast("torch.Tensor", self.up))


def why_merged(folder: Path) -> str:
    """Why an adapter cannot stay beside the weights, in a few words; "" where it can."""
    kind, config = adapter_kind(folder), read_config(folder)
    if kind != "LORA":
        return f"it is {kind or 'of no kind that it says'}, not LoRA"
    other = next((name for name in _OTHER if config.get(name)), "")
    if other:
        return f"its settings have {other}"
    if config.get("init_lora_weights") not in _BEGINNINGS:
        return f"it began as {config['init_lora_weights']}, which changes the base"
    if not all(name.endswith(_PARTS) for name in check_weights(adapter_weights(folder))):
        return "it changes more than linear maps"
    return ""


def with_lora_beside(base: "PreTrainedModel", folders: Sequence[Path]) -> "PreTrainedModel | None":
    """A model of its own over the weights of `base`, with adapters beside them; None where they are not on plain
    linear maps (GPT-2's, or quantised ones).

    Args:
        base: is left as it is.
        folders: of adapters that `why_merged` has nothing against; they add up.

    Raises:
        ExplorerError: an adapter does not fit.
    """
    found: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for folder in folders:
        for path, maps in _read_lora(base, folder).items():
            found.setdefault(path, []).append(maps)
    model = twin_of(base)
    for path, maps_of in found.items():
        linear = model.get_submodule(path)
        if type(linear) is not nn.Linear:
            return None
        down, up = (torch.cat(parts, dim) for dim, parts in enumerate(zip(*maps_of, strict=True)))
        model.set_submodule(path, LoraLinear(linear, down.to(linear.weight), up.to(linear.weight)))
    _bases[model] = base
    share_lock(model, base)
    return model.eval().requires_grad_(False)


def base_of(model: nn.Module) -> "PreTrainedModel | None":
    """The model over whose weights this one lies with LoRA beside them; None for any other model."""
    return _bases.get(model)


def twin_of(model: "PreTrainedModel") -> "PreTrainedModel":
    """A module of its own over the same weights."""
    with Locks(model):  # else it could catch the engine's hooks of the moment
        shared = {id(t): t for t in [*model.parameters(), *model.buffers()]}
        twin = copy.deepcopy(model, memo=shared)
    same_family(twin, model)
    return twin


def _read_lora(base: "PreTrainedModel", folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """By the path of a linear map, A [rank, inputs] and B [outputs, rank] with its scaling."""
    wrapped: Any = wrapped_by_peft(twin_of(base), folder)
    maps = {}
    for path, layer in wrapped.base_model.model.named_modules():
        for name, down in getattr(layer, "lora_A", {}).items():
            up = layer.lora_B[name].weight.detach() * layer.scaling[name]
            maps[path] = down.weight.detach(), up
    return maps
