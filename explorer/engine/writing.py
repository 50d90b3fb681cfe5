"""What neurons add to logits directly: their output columns, read by the unembedding, with every norm frozen.

    path = DirectPath(model)
    with path.watched(at):                             # at: positions, in the flattened [rows, positions]
        model(**inputs)                                # norms are held at what they divide by here
    read = path.read_by(rows_of_the_unembedding)       # [positions, hidden] → for each layer [positions, hidden]
    added = contributions(model, neurons, change, read)

A norm that divides by what it divided by in one reading is linear. What a neuron writes then passes through it alone,
and the parts of all neurons add up to what the logits change by while all else is held (Elhage et al., 2021).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from explorer.errors import ExplorerError
from explorer.models.families import blocks_of, family_of, find
from explorer.models.layers import neuron_layers
from explorer.neurons.sets import NeuronSet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AFTER_MLP = ("post_feedforward_layernorm", "post_mlp_layernorm")
"""What the norm of an MLP's output is called in a block that has one (Gemma 2 and 3, OLMo 2; GLM 4)."""

_NEAR = {torch.float32: 1e-4, torch.float16: 2**-7, torch.bfloat16: 2**-4}
"""How far, relative to its largest output, a norm may be from what it is taken to compute."""


@dataclass(frozen=True)
class FrozenNorm:
    """A norm that is held at some inputs: at each of them a linear map.

    Attributes:
        weight: float32 [hidden].
        divisor: float32 [positions, 1], what it divided by there.
        centred: whether it takes off the mean first (a layer norm; else an RMS norm).
    """

    weight: torch.Tensor
    divisor: torch.Tensor
    centred: bool

    def through(self, x: torch.Tensor) -> torch.Tensor:
        """What becomes of x, float32 [positions, hidden], without the norm's bias."""
        x = x - x.mean(dim=-1, keepdim=True) if self.centred else x
        return x * self.weight / self.divisor

    def back(self, direction: torch.Tensor) -> torch.Tensor:
        """The direction before the norm that is read where one after it is: the transposed map, of the same shape."""
        direction = direction * self.weight / self.divisor
        return direction - direction.mean(dim=-1, keepdim=True) if self.centred else direction


def freeze(norm: nn.Module, x: torch.Tensor) -> FrozenNorm:
    """A norm held at its inputs x, [positions, hidden].

    Raises:
        ExplorerError: it is neither a layer norm nor an RMS norm.
    """
    module: Any = norm
    compute = norm.forward  # past the hook that may have called this
    wide, centred = x.float(), isinstance(norm, nn.LayerNorm)
    eps = next((float(getattr(module, name)) for name in ("eps", "variance_epsilon") if hasattr(module, name)), 0.0)
    ones = torch.ones_like(wide[0])
    if centred:
        weight, bias = (ones if module.weight is None else module.weight.float()), getattr(module, "bias", None)
        spread = wide.var(dim=-1, keepdim=True, unbiased=False)
    else:
        weight, bias = compute(ones[None])[0].float() * (1 + eps) ** 0.5, None  # whatever is done to its parameter
        spread = wide.square().mean(dim=-1, keepdim=True)
    frozen = FrozenNorm(weight, (spread + eps).sqrt(), centred)
    given = compute(x).float()
    made = frozen.through(wide) + (0 if bias is None else bias.float())
    if not bool(((made - given).abs() <= _NEAR.get(x.dtype, 1e-4) * given.abs().max()).all()):
        raise ExplorerError(
            f"The norm {type(norm).__name__} is neither a layer norm nor an RMS norm, so what single neurons write "
            "cannot be read through it."
        )
    return frozen


class DirectPath:
    """From the neurons of a model straight to its logits, past all later attention and MLPs.

    What the unembedding gives is meant by logits here, before a family caps them (Gemma 2) or scales them.

    Raises:
        ExplorerError: the model writes no text, or norms the residual stream itself in every block.
    """

    def __init__(self, model: "PreTrainedModel") -> None:
        family = family_of(model)
        if family.kind == "encoder":
            raise ExplorerError("This model is a classifier without an unembedding, so its neurons write no words.")
        self._blocks: list[Any] = blocks_of(model)
        behind = family.kind == "encoder-decoder" and not family.norm  # BART's kind, which has no norm at the end
        if behind or any(getattr(block, "do_layer_norm_before", True) is False for block in self._blocks):
            raise ExplorerError(
                "This model norms the residual stream behind every block, so no neuron writes to the logits directly."
            )
        self._model: Any = model
        self._last: Any = find(model, family.norm) if family.norm else None
        self._final: FrozenNorm | None = None
        self._after: dict[int, FrozenNorm] = {}
        self._scale = 1.0

    @contextmanager
    def watched(self, at: torch.Tensor) -> Iterator[None]:
        """Hold every norm on the way at what it divides by in the reading that happens inside.

        Args:
            at: int64 [positions], in the flattened [rows, positions] of what is read.
        """
        handles = []
        out: list[torch.Tensor] = []

        def picked(x: torch.Tensor) -> torch.Tensor:
            return x.flatten(0, -2)[at.to(x.device)]

        def after(layer: int, norm: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            if args[0].numel() // args[0].shape[-1] > int(at.max()):  # an encoder's positions are others
                self._after[layer] = freeze(norm, picked(args[0]))

        def last(norm: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            self._final = freeze(norm, picked(args[0]))
            out.append(self._projected(norm.forward(picked(args[0]))))

        def unembedded(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            if out:  # T5 scales between its norm and its unembedding
                got, made = picked(args[0]).float(), out.pop().float()
                self._scale = float((got * made).sum() / made.square().sum())

        try:
            for layer, block in enumerate(self._blocks):
                norm = _after_mlp(block)
                if norm is not None:
                    handles.append(norm.register_forward_pre_hook(partial(after, layer)))
            if self._last is not None:
                handles.append(self._last.register_forward_pre_hook(last))
            handles.append(self._model.get_output_embeddings().register_forward_pre_hook(unembedded))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def read_by(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """What of each layer's MLP output is read where the unembedding reads `rows`.

        Args:
            rows: float32 [positions, unembedded size], a weighted sum of the unembedding's rows for each position.

        Returns:
            For each layer float32 [positions, hidden], on that layer's device.
        """
        project = self._project_out()
        direction = rows * self._scale if project is None else (rows * self._scale) @ project.weight.float()
        if self._final is not None:
            direction = self._final.back(direction.to(self._final.weight.device))
        found = []
        for layer, (block, place) in enumerate(zip(self._blocks, neuron_layers(self._model), strict=True)):
            own = direction.to(place.device) * float(getattr(block, "residual_multiplier", 1.0))  # Granite's
            found.append(self._after[layer].back(own) if layer in self._after else own)
        return found

    def _projected(self, x: torch.Tensor) -> torch.Tensor:
        project = self._project_out()
        return x if project is None else project(x)

    def _project_out(self) -> Any:
        """OPT's map between its norm and its unembedding; None where there is none."""
        norm = family_of(self._model).norm
        return getattr(find(self._model, norm.rpartition(".")[0]), "project_out", None) if norm else None


def contributions(
    model: "PreTrainedModel", ns: NeuronSet, change: np.ndarray, read: Sequence[torch.Tensor]
) -> np.ndarray:
    """What neurons add directly, by how much their activations changed.

    Args:
        model: whose columns they write.
        ns: the neurons, k of them.
        change: float32 [k, positions], in activation units.
        read: of `DirectPath.read_by`.

    Returns:
        float32 [k, positions], in logits where `read` is of logits.
    """
    added = np.zeros_like(change)
    for number, layer in enumerate(neuron_layers(model)):
        rows = np.flatnonzero(ns.layers == number)
        if rows.size:
            columns = layer.columns(ns.neurons[rows].tolist()).float()
            added[rows] = change[rows] * (columns @ read[number].T).cpu().numpy()
    return added


def _after_mlp(block: Any) -> nn.Module | None:
    """The norm of a block's MLP output, where it has one."""
    return next((getattr(block, name) for name in AFTER_MLP if isinstance(getattr(block, name, None), nn.Module)), None)
