"""The residual stream after every layer, of M1, of M1 patched with neuron sets, and of M2, in models of every family.

last_prompt_residuals(pair, [pair.encode(prompt) for prompt in prompts], [top, random])   # at the last prompt token
text_residuals(pair, TokenText(prompt_ids, answer_ids), [top])                            # at every position

Layer 0 is what enters the first block, layer i + 1 what leaves block i, before the final norm. Models are read in the
order of `readers`; who wants something else of them than the residual stream reads them there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from explorer.engine.reading import Inputs, TokenText, batches, inputs_of, positions_of_layers, read
from explorer.engine.sane import not_finite
from explorer.errors import ExplorerError
from explorer.models.families import family_of, find
from explorer.models.hooks import LayerVisit, neuron_hooks
from explorer.models.pair import Pair, apply_scale
from explorer.neurons.sets import NeuronSet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH = 8
"""Texts read at once: all layers' activations of M2 are held for them."""

ResidualVisit = Callable[[int, torch.Tensor], "torch.Tensor | None"]
"""Gets a layer, from 0 (what enters the first block), and the residual stream there, [rows, positions, hidden]; what it
returns takes its place, None leaves it."""


@contextmanager
def residual_hooks(model: "PreTrainedModel", visit: ResidualVisit) -> Iterator[None]:
    """Call `visit(layer, residual)` before the first block and after each, for as long as the with statement lasts.

    The blocks are those that write text: of an encoder–decoder the decoder's.

    Raises:
        ExplorerError: the model is a classifier, which writes none.
    """
    family = family_of(model)
    if family.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no text; its residual stream leads to no token.")

    def enter(_block: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        changed = visit(0, args[0] if args else kwargs["hidden_states"])
        if changed is None:
            return None
        return ((changed, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": changed})

    def leave(layer: int, _block: Any, _args: tuple, out: Any) -> Any:
        several = isinstance(out, tuple)  # Falcon's and T5's blocks hand on attention weights and biases, too
        changed = visit(layer, out[0] if several else out)
        if changed is None:
            return None
        return (changed, *out[1:]) if several else changed

    with ExitStack() as held:
        for number, block in enumerate(find(model, family.layers)):
            if number == 0:
                held.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
            held.callback(block.register_forward_hook(partial(leave, number + 1)).remove)
        yield


@dataclass(frozen=True)
class Reader:
    """One of the models that read the same texts.

    Attributes:
        row: 0 for M1, 1 + i for M1 patched with set i, 1 + sets for M2.
        module: what reads.
        neurons: scales and patches each layer's activations; returns them as `down_proj` is to receive them.
    """

    row: int
    module: "PreTrainedModel"
    neurons: Callable[[int, torch.Tensor], torch.Tensor]

    def read(self, inputs: Inputs, residual: ResidualVisit | None = None, neurons: LayerVisit | None = None) -> None:
        """Read a batch of texts; the caller holds the pair's lock, in inference mode.

        Args:
            inputs: of `reading.inputs_of`.
            residual: sees the residual stream, and may replace it.
            neurons: sees each layer's activations as `down_proj` is to receive them, and may replace them.
        """

        def visit(layer: int, h: torch.Tensor) -> torch.Tensor:
            own = self.neurons(layer, h)
            changed = None if neurons is None else neurons(layer, own)
            return own if changed is None else changed

        with ExitStack() as held:
            held.enter_context(neuron_hooks(self.module, visit))
            if residual is not None:
                held.enter_context(residual_hooks(self.module, residual))
            read(self.module, {name: value.to(self.module.device) for name, value in inputs.items()})


def readers(pair: Pair, sets: Sequence[NeuronSet]) -> Iterator[Reader]:
    """M2, M1, and M1 patched with each set, in the order in which they must read one batch of texts, once each.

    M2 comes first: it leaves its activations for the patched models (at all positions, as in the paper).

    Args:
        pair: the models.
        sets: what is patched from M2 into M1.
    """
    masks = [torch.from_numpy(ns.mask()) for ns in sets]
    used = [any(bool(mask[layer].any()) for mask in masks) for layer in range(pair.n_layers)]
    guide: dict[int, torch.Tensor] = {}

    def second(layer: int, h: torch.Tensor) -> torch.Tensor:
        own = h if pair.scale2 is None else apply_scale(h, pair.scale2[layer])
        if used[layer]:
            guide[layer] = own.clone()
        return own

    def first(mask: torch.Tensor | None, layer: int, h: torch.Tensor) -> torch.Tensor:
        own = h if pair.scale1 is None else apply_scale(h, pair.scale1[layer])
        if mask is None or not mask[layer].any():
            return own
        return torch.where(mask[layer].to(own.device), guide[layer].to(own), own)

    yield Reader(1 + len(sets), pair.backbone2, second)
    for row, mask in enumerate((None, *masks)):
        yield Reader(row, pair.backbone1, partial(first, mask))


def last_prompt_residuals(
    pair: Pair, prompts: Sequence[Sequence[int]], sets: Sequence[NeuronSet] = (), batch_size: int = BATCH
) -> np.ndarray:
    """The residual stream where the first token of an answer is chosen: at the last prompt token.

    Args:
        pair: the models.
        prompts: token ids of each prompt. An encoder–decoder's decoder is read at its start token.
        sets: what is patched from M2 into M1, at all positions of the prompt.
        batch_size: prompts read at once.

    Returns:
        float32 [2 + sets, layers + 1, prompts, hidden]: M1, M1 patched with each set in turn, M2. Layers are those of
        the decoder, see the module.

    Raises:
        ExplorerError: the models write no text, or a number is NaN or infinite.
    """
    out: np.ndarray | None = None
    texts = [_Numbered(prompt, (), number) for number, prompt in enumerate(prompts)]
    for _, batch in batches(texts, batch_size):
        inputs = inputs_of(pair.backbone1, batch)
        at = positions_of_layers(pair, inputs, batch, "last_prompt")[-1]
        seen = _read_all(pair, inputs, sets, lambda r, at=at: r.flatten(0, 1)[at.to(r.device)])  # type: ignore[misc]
        if out is None:
            out = np.zeros((*seen.shape[:2], len(texts), seen.shape[-1]), np.float32)
        out[:, :, [text.number for text in batch]] = seen
    if out is None:
        raise ExplorerError("There are no prompts to read; give at least one.")
    return out


def text_residuals(pair: Pair, text: TokenText, sets: Sequence[NeuronSet] = ()) -> np.ndarray:
    """The residual stream at every position of a text that all models read.

    Args:
        pair: the models.
        text: prompt and answer. Of an encoder–decoder, the positions are the decoder's: start token and answer.
        sets: what is patched from M2 into M1, at all positions.

    Returns:
        float32 [2 + sets, layers + 1, positions, hidden], see `last_prompt_residuals`.

    Raises:
        ExplorerError: the models write no text, or a number is NaN or infinite.
    """
    return _read_all(pair, inputs_of(pair.backbone1, [text]), sets, lambda residual: residual[0])


@dataclass(frozen=True)
class _Numbered(TokenText):
    """A prompt by its number."""

    number: int = 0


def _read_all(
    pair: Pair, inputs: Inputs, sets: Sequence[NeuronSet], pick: Callable[[torch.Tensor], torch.Tensor]
) -> np.ndarray:
    """float32 [2 + sets, layers + 1, picked, hidden] of one batch."""
    rows: dict[int, np.ndarray] = {}
    with torch.inference_mode(), pair.lock:
        for reader in readers(pair, sets):
            seen: list[np.ndarray] = []
            reader.read(inputs, residual=lambda _, r, seen=seen: seen.append(pick(r).float().cpu().numpy()))  # type: ignore[misc]
            rows[reader.row] = np.stack(seen)
    for name, row in (("M2", len(rows) - 1), ("M1", 0)):
        if not np.isfinite(rows[row]).all():
            raise ExplorerError(not_finite(name, None, pair.dtype))
    return np.stack([rows[row] for row in sorted(rows)])
