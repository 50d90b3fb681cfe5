"""The decode loop of Llama-like models, written out: what transformers' forward computes, with less around it.

Beside the plain form (`hooked.HookedPass`) this one

- multiplies q, k, v at once, and gate and up at once (a step of SmolLM2-135M is 121 products, not 211), each in the
  form that the machine multiplies fastest (`products.py`);
- writes keys and values into a cache allocated once, and attends to the KV heads without repeating them;
- builds no mask where no row is padded, and calls `visit` directly: no hooks, no module calls;
- multiplies real tokens only (`Real`): of sixteen prompts of a suite side by side, almost half is padding;
- can branch: what texts have in common is read once (`FusedPass.branch`);
- can roll back what it has read: draft tokens that were rejected (`FusedPass.forget`);
- on a GPU, a step of few tokens has the same shapes as the one before it, so that it can be recorded once and replayed
  (`graphed.py`): the cache is attended to in blocks of `BLOCK` positions, of which a mask hides those not yet written.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from explorer.engine.backends.forward_pass import likeliest_ids
from explorer.engine.backends.fused_blocks import FEW, Real, attention, run_blocks, turns
from explorer.engine.backends.fused_masks import Masks, additive, cache_masks, reading_mask
from explorer.engine.backends.fused_weights import FusedWeights, fused_weights
from explorer.engine.backends.interface import DecodePass, InPlaceVisit
from explorer.engine.backends.kernels_here import kernels_for
from explorer.engine.backends.padding import Padding
from explorer.engine.backends.unembedding import logits_of
from explorer.engine.reading import Inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLOCK = 64
"""Positions by which what is attended to grows on a GPU."""

STEADY_ROPES = {"default", "linear", "llama3", "yarn"}
"""Kinds of rotary angles that depend on the position alone, so that a step can be replayed."""


class FusedBackend:
    """See `interface.Backend`."""

    name = "fused"

    def takes(self, module: "PreTrainedModel") -> bool:
        """See `interface.Backend.takes`; the fused weights are made at the first call."""
        return fused_weights(module) is not None

    def begin(self, module: "PreTrainedModel", longest: int) -> DecodePass:
        """See `interface.Backend.begin`."""
        return FusedPass(module, _weights(module), longest)

    def read(self, module: "PreTrainedModel", inputs: Inputs, visit: InPlaceVisit) -> None:
        """See `interface.Backend.read`."""
        read_fused(module, _weights(module), inputs["input_ids"], visit)


def _weights(module: "PreTrainedModel") -> FusedWeights:
    weights = fused_weights(module)
    assert weights is not None  # asked of models alone that `takes` took
    return weights


@dataclass(frozen=True)
class Step:
    """What a pass is to read, on its device.

    Attributes:
        ids, positions: int64 [rows, new].
        masks: see `fused_masks.Masks`.
        real: which positions are real.
        start, end: where the cache takes them, and how many of its positions attention reads.
        slots: the cache's positions that take them, int64 [new], where a step can be replayed; None elsewhere.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    masks: Masks
    real: Real
    start: int
    end: int
    slots: torch.Tensor | None = None

    @property
    def shape(self) -> tuple[Any, ...] | None:
        """Alike for steps that differ in nothing but the content of their tensors; None where it cannot be replayed."""
        if self.slots is None:
            return None
        return (*self.ids.shape, self.end, *(tuple(mask.shape) for mask in self.masks.values() if mask is not None))

    def take(self, other: "Step") -> None:
        """Copy the content of a step of the same shape into this one's tensors."""
        for own, new in zip(self._tensors(), other._tensors(), strict=True):
            own.copy_(new, non_blocking=True)

    def _tensors(self) -> list[torch.Tensor]:
        assert self.slots is not None
        return [self.ids, self.positions, self.slots, *(mask for mask in self.masks.values() if mask is not None)]


class FusedPass:
    """A batch of rows of a Llama-like model; see `interface.DecodePass`.

    Attributes:
        module, weights: the model.
        device: where it is.
        longest: no row has more tokens.
        padding: how rows lie beside each other; on the processor, whatever the device.
        rows: in the batch.
        written: positions in the cache.
        cache: [layers, room for rows, 2 × kv_heads, room for positions, head_dim], keys first.
    """

    def __init__(self, module: "PreTrainedModel", weights: FusedWeights, longest: int) -> None:
        self.module, self.weights = module, weights
        self.row_price: float | None = weights.head.row_price
        self.can_branch = True
        self.device = module.device
        rope = getattr(module.base_model.rotary_emb, "rope_type", "")
        ropes = set(rope.values() if isinstance(rope, dict) else [rope])
        self.replays = self.device.type == "cuda" and ropes <= STEADY_ROPES
        self.kernels = kernels_for(self.device) if self.replays else None
        self.longest = self._rounded(longest)
        self.padding = Padding(torch.device("cpu"))
        self.rows = 0
        self.written = 0
        self.cache: torch.Tensor | None = None
        embedding: Any = module.get_input_embeddings()
        self._like: torch.Tensor = embedding.weight.new_empty(0)  # of the model's type, on its device

    def forward(self, pending: list[list[int]], visit: InPlaceVisit, last: int = 1) -> torch.Tensor:
        """See `interface.DecodePass.forward`."""
        return self.run(self.prepare(pending), visit, last)

    def prepare(self, pending: list[list[int]]) -> Step:
        """What is to be read next, as `run` takes it; from now on it counts as read."""
        ids, positions = self.padding.advance(pending)
        self.rows, new = len(ids), ids.shape[1]
        start, end = self.written, self.written + new
        self._make_room(end)
        self.written = end
        w, steady = self.weights, self.replays and start > 0 and new <= FEW
        room = min(-(-end // BLOCK) * BLOCK, self.longest) if steady else end
        visible = cache_masks(
            self.padding.mask,
            end,
            new,
            w.windows,
            w.heads // w.kv_heads,
            always=steady or (w.softcap is not None and new > 1),
            room=room,
        )
        masks = {window: None if mask is None else additive(mask, self._like) for window, mask in visible.items()}
        mask = self.padding.mask if self.padding.ragged and not steady else None
        real = Real((self.rows, new), None if mask is None else mask[:, -new:], self.device)
        slots = torch.arange(start, end).to(self.device, non_blocking=True) if steady else None
        ids, positions = (part.to(self.device, non_blocking=True) for part in (ids, positions))
        return Step(ids, positions, masks, real, start, room, slots)

    def run(self, step: Step, visit: InPlaceVisit, last: int = 1) -> torch.Tensor:
        """The final hidden states of each row's last positions, [rows, last, hidden]."""
        w, real = self.weights, step.real
        assert self.cache is not None
        cache = self.cache[:, : len(step.ids)]
        keys, values = (half.unbind() for half in cache[:, :, :, : step.end].chunk(2, dim=2))
        room = cache.unbind() if step.slots is not None else cache[:, :, :, step.start : step.end].unbind()

        def attend(number: int, mixed: torch.Tensor) -> torch.Tensor:
            fresh = real.spread(mixed).transpose(1, 2)  # [rows, heads + 2 × kv_heads, new, head_dim]
            written = fresh.narrow(1, w.heads, 2 * w.kv_heads)
            if step.slots is None:
                room[number].copy_(written)
            else:
                room[number].index_copy_(2, step.slots, written)
            mask = step.masks[w.blocks[number].window]
            return real.take(attention(w, fresh.narrow(1, 0, w.heads), keys[number], values[number], mask))

        x = self.module.get_input_embeddings()(step.ids)
        turned_by = turns(self.module, w, x, step.positions)
        x = run_blocks(w, x, turned_by, real, attend, visit, self.kernels if step.slots is not None else None)
        body: Any = self.module.base_model
        hidden: torch.Tensor = body.norm(x[:, -last:])
        return hidden

    def choose(self, hidden: torch.Tensor) -> torch.Tensor:
        """int64 [rows]: the most likely next token of each row, from hidden states [rows, hidden]."""
        return likeliest_ids(self.weights.head(hidden))

    def greedy(self, hidden: torch.Tensor) -> list[int]:
        """See `interface.DecodePass.greedy`."""
        return self.choose(hidden).tolist() if len(hidden) else []

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See `interface.DecodePass.logits`."""
        return logits_of(self.module, hidden)

    @torch.inference_mode()
    def keep(self, rows: list[int]) -> None:
        """See `interface.DecodePass.keep`. Only rows that change their place are copied."""
        if self.cache is None or rows == list(range(self.rows)):
            return
        self.padding.keep(torch.tensor(rows, dtype=torch.long))
        if len(rows) > self.cache.shape[1]:
            self.cache = self._copy(list(range(self.rows)), len(rows) * 3 // 2, self.longest)
        moved = [(new, old) for new, old in enumerate(rows) if new != old]
        if moved:
            new, old = torch.tensor(moved, device=self.device).T
            self.cache[:, new, :, : self.written] = self.cache[:, old, :, : self.written]
        self.rows = len(rows)

    @torch.inference_mode()
    def forget(self, counts: list[int]) -> None:
        """See `interface.DecodePass.forget`."""
        self.padding.forget(counts)
        self.written -= min(counts)

    @torch.inference_mode()
    def branch(self, rows: list[int], longest: int) -> "FusedPass":
        """See `interface.DecodePass.branch`."""
        other = FusedPass(self.module, self.weights, longest)
        if self.padding.lengths is None:  # nothing has been read
            return other
        other.cache = self._copy(rows, len(rows), other.longest)
        other.written, other.rows = self.written, len(rows)
        other.padding.lengths, other.padding.mask = self.padding.lengths, self.padding.mask
        other.padding.keep(torch.tensor(rows, dtype=torch.long))
        return other

    def _copy(self, rows: list[int], room: int, longest: int) -> torch.Tensor:
        """These rows of the cache in a new one."""
        assert self.cache is not None
        layers, _, both, _, head_dim = self.cache.shape
        new = self.new_cache(layers, room, both, longest, head_dim)
        index = torch.tensor(rows, device=new.device, dtype=torch.long)
        new[:, : len(rows), :, : self.written] = self.cache[:, index, :, : self.written]
        return new

    def new_cache(self, *shape: int) -> torch.Tensor:
        """Room for keys and values; what is attended to has been written, but where steps are replayed in blocks."""
        return self._like.new_zeros(shape) if self.replays else self._like.new_empty(shape)

    def _make_room(self, end: int) -> None:
        """See that the cache has room for so many positions."""
        if self.cache is None:
            w = self.weights
            self.longest = self._rounded(max(end, self.longest))
            self.cache = self.new_cache(len(w.blocks), self.rows, 2 * w.kv_heads, self.longest, w.head_dim)
        elif end > self.longest:  # gaps where draft tokens were rejected
            self.longest = self._rounded(end * 3 // 2)
            self.cache = self._copy(list(range(self.cache.shape[1])), self.cache.shape[1], self.longest)

    def _rounded(self, positions: int) -> int:
        """So many positions, in whole blocks where steps are replayed."""
        return -(-positions // BLOCK) * BLOCK if self.replays else positions


def read_fused(module: "PreTrainedModel", weights: FusedWeights, ids: torch.Tensor, visit: InPlaceVisit) -> None:
    """Visit the neurons of whole texts; nothing is kept.

    Args:
        module: a model.
        weights: its `fused_weights`.
        ids: int64 [rows, positions], padded on the right: no real token sees the padding.
        visit: see `interface.InPlaceVisit`.
    """
    x = module.get_input_embeddings()(ids)
    positions = torch.arange(ids.shape[1], device=ids.device)[None]
    real = Real((ids.shape[0], ids.shape[1]), None)
    parts = (weights.heads, weights.kv_heads, weights.kv_heads)
    capped = weights.softcap is not None
    masks = {window: reading_mask(ids.shape[1], window, capped, x) for window in weights.windows}

    def attend(number: int, mixed: torch.Tensor) -> torch.Tensor:
        q, k, v = real.spread(mixed).transpose(1, 2).split(parts, dim=1)
        mask = masks[weights.blocks[number].window]
        if mask is not None and 1 < ids.shape[1] <= FEW:
            mask = mask.repeat(1, 1, weights.heads // weights.kv_heads, 1)
        return real.take(attention(weights, q, k, v, mask))

    once = turns(module, weights, x, positions)
    turned_by = {kind: tuple(part.expand(len(ids), -1, -1) for part in turn) for kind, turn in once.items()}
    run_blocks(weights, x, turned_by, real, attend, visit)
