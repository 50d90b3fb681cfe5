"""The decode loop of Llama-like models, written out: what transformers' forward computes, with less around it.

Beside the plain form (`hooked.HookedPass`) this one

- multiplies q, k, v at once, and gate and up at once (a step of SmolLM2-135M is 121 products, not 211), each in the
  form that the machine multiplies fastest (`products.py`);
- writes keys and values into a cache allocated once, and attends to the KV heads without repeating them;
- builds no mask where no row is padded, and calls `visit` directly: no hooks, no module calls;
- multiplies real tokens only (`Real`): of sixteen prompts of a suite side by side, almost half is padding;
- can branch: what texts have in common is read once (`FusedPass.branch`);
- can roll back what it has read: draft tokens that were rejected (`FusedPass.forget`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from explorer.engine.backends.fused_weights import FusedWeights, fused_weights
from explorer.engine.backends.hooked import likeliest
from explorer.engine.backends.interface import DecodePass, InPlaceVisit
from explorer.engine.backends.padding import Padding
from explorer.engine.reading import Inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FEW = 16
"""Up to so many new positions a row, those of a KV head's query heads are attended to as one block."""

Attend = Callable[[int, torch.Tensor], torch.Tensor]


class Real:
    """The real tokens of a padded batch, one behind the other, and back.

    Args:
        shape: rows and positions of the batch.
        mask: int64 [rows, positions], 0 on padding; None where there is none.
    """

    def __init__(self, shape: tuple[int, int], mask: torch.Tensor | None) -> None:
        self.shape = shape
        self.at = None if mask is None else mask.flatten().nonzero().squeeze(1)  # int64 [tokens]

    def take(self, padded: torch.Tensor) -> torch.Tensor:
        """From [rows, positions, …] to [tokens, …]."""
        flat = padded.flatten(0, 1)
        return flat if self.at is None else flat[self.at]

    def spread(self, tokens: torch.Tensor) -> torch.Tensor:
        """From [tokens, …] to [rows, positions, …], zeros on padding; the same memory where there is none."""
        padded = tokens
        if self.at is not None:
            padded = tokens.new_zeros(self.shape[0] * self.shape[1], *tokens.shape[1:])
            padded[self.at] = tokens
        spread: torch.Tensor = padded.unflatten(0, self.shape)
        return spread


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


class FusedPass:
    """A batch of rows of a Llama-like model; see `interface.DecodePass`."""

    def __init__(self, module: "PreTrainedModel", weights: FusedWeights, longest: int) -> None:
        self.module, self.weights, self.longest = module, weights, longest
        self.row_price: float | None = weights.head.row_price
        self.can_branch = True
        self.body: Any = module.base_model
        self.padding = Padding(module.device)
        self.rows = 0
        self.written = 0  # positions in the cache
        self.cache: torch.Tensor | None = None  # [layers, room for rows, 2 × kv_heads, longest, head_dim], keys first

    def forward(self, pending: list[list[int]], visit: InPlaceVisit, last: int = 1) -> torch.Tensor:
        """See `interface.DecodePass.forward`."""
        ids, positions = self.padding.advance(pending)
        x = self.module.get_input_embeddings()(ids)
        self.rows = len(ids)
        new = ids.shape[1]
        start, end = self.written, self.written + new
        cache = self._cache_for(x, end)[:, : self.rows]
        room = cache[:, :, :, start:end].unbind()
        keys, values = (half.unbind() for half in cache[:, :, :, :end].chunk(2, dim=2))
        mask = self._mask(new, x.dtype)
        padding = self.padding.mask if self.padding.ragged else None
        real = Real((self.rows, new), None if padding is None else padding[:, -new:])
        heads, kv_heads, scaling = self.weights.heads, self.weights.kv_heads, self.weights.scaling

        def attend(number: int, mixed: torch.Tensor) -> torch.Tensor:
            fresh = real.spread(mixed).transpose(1, 2)  # [rows, heads + 2 × kv_heads, new, head_dim]
            room[number].copy_(fresh.narrow(1, heads, 2 * kv_heads))
            return real.take(_attention(fresh.narrow(1, 0, heads), keys[number], values[number], mask, scaling))

        x = _blocks(self.weights, x, self.body.rotary_emb(x, positions), real, attend, visit)
        self.written += new
        hidden: torch.Tensor = self.body.norm(x[:, -last:])
        return hidden

    def greedy(self, hidden: torch.Tensor) -> list[int]:
        """See `interface.DecodePass.greedy`."""
        return likeliest(self.weights.head(hidden)) if len(hidden) else []

    @torch.inference_mode()
    def keep(self, rows: list[int]) -> None:
        """See `interface.DecodePass.keep`. Only rows that change their place are copied."""
        if self.cache is None or rows == list(range(self.rows)):
            return
        self.padding.keep(torch.tensor(rows, device=self.cache.device, dtype=torch.long))
        if len(rows) > self.cache.shape[1]:
            self.cache = self._copy(list(range(self.rows)), len(rows) * 3 // 2, self.longest)
        moved = [(new, old) for new, old in enumerate(rows) if new != old]
        if moved:
            new, old = torch.tensor(moved, device=self.cache.device).T
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
        other.cache, other.written, other.rows = self._copy(rows, len(rows), longest), self.written, len(rows)
        index = torch.tensor(rows, device=self.padding.device, dtype=torch.long)
        other.padding.lengths, other.padding.mask = self.padding.lengths, self.padding.mask
        other.padding.keep(index)
        return other

    def _copy(self, rows: list[int], room: int, longest: int) -> torch.Tensor:
        """These rows of the cache in a new one."""
        assert self.cache is not None
        layers, _, both, _, head_dim = self.cache.shape
        new = self.cache.new_zeros(layers, room, both, longest, head_dim)
        index = torch.tensor(rows, device=new.device, dtype=torch.long)
        new[:, : len(rows), :, : self.written] = self.cache[:, index, :, : self.written]
        return new

    def _mask(self, new: int, dtype: torch.dtype) -> torch.Tensor | None:
        """What each new position may see: 0 there, else −∞, as `_attention` takes it; None where that is all before it.

        [rows or 1, 1, new, positions] if more than `FEW` are new, else each of the new ones as often as a KV head has
        query heads.
        """
        visible = None if self.padding.mask is None else self.padding.mask.bool()[:, None, None, :]
        if new > 1 and (self.written or visible is not None):
            ones = torch.ones(new, self.written + new, dtype=torch.bool, device=self.padding.device)
            causal = ones.tril(self.written)
            # A padded position sees itself, so that no row of the softmax is empty.
            visible = causal[None, None] if visible is None else (visible & causal) | (causal & ones.triu(self.written))
        if visible is None:
            return None
        if 1 < new <= FEW:
            visible = visible.repeat(1, 1, self.weights.heads // self.weights.kv_heads, 1)
        return torch.zeros_like(visible, dtype=dtype).masked_fill_(~visible, float("-inf"))

    def _cache_for(self, x: torch.Tensor, end: int) -> torch.Tensor:
        """The cache, with room for so many positions."""
        if self.cache is None:
            w = self.weights
            self.cache = x.new_zeros(len(w.blocks), x.shape[0], 2 * w.kv_heads, self.longest, w.head_dim)
        elif end > self.longest:  # gaps where draft tokens were rejected
            self.longest = end * 3 // 2
            self.cache = self._copy(list(range(self.cache.shape[1])), self.cache.shape[1], self.longest)
        return self.cache


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

    def attend(_number: int, mixed: torch.Tensor) -> torch.Tensor:
        q, k, v = real.spread(mixed).transpose(1, 2).split(parts, dim=1)
        return real.take(_attention(q, k, v, None, weights.scaling))

    body: Any = module.base_model
    turn = tuple(angles.expand(len(ids), -1, -1) for angles in body.rotary_emb(x, positions))
    _blocks(weights, x, turn, real, attend, visit)


def _blocks(
    w: FusedWeights,
    x: torch.Tensor,
    turn: tuple[torch.Tensor, ...],
    real: Real,
    attend: Attend,
    visit: InPlaceVisit,
) -> torch.Tensor:
    """The layers: from embeddings to the last residual stream, [rows, positions, hidden] both.

    Args:
        turn: cosine and sine of the rotary angles, [rows, positions, head_dim] each.
        real: which positions are real.
        attend: gets a layer and [tokens, heads + 2 × kv_heads, head_dim], q, k and v one behind the other; gives what
            the heads have seen, [tokens, heads × head_dim].
    """
    cos, sin = (real.take(angles).unsqueeze(1) for angles in turn)  # [tokens, 1, head_dim]
    half = w.head_dim // 2
    sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)  # the minus of "rotate half", once for all layers
    x = real.take(x)
    for number, block in enumerate(w.blocks):
        normed = block.norm1(x)
        mixed = block.qkv(normed).unflatten(-1, (-1, w.head_dim))
        turned = mixed.narrow(1, 0, w.heads + w.kv_heads)
        swapped = turned.roll(half, -1)
        turned.mul_(cos).addcmul_(swapped, sin)
        x = block.out.added_to(x, attend(number, mixed))
        normed = block.norm2(x)
        gate, up = block.gate_up(normed).chunk(2, dim=-1)
        neurons = real.spread(functional.silu(gate).mul_(up))
        visit(number, neurons)
        x = block.down.added_to(x, real.take(neurons))
    return real.spread(x)


def _attention(
    q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """What each position has seen, [rows, positions, heads × head_dim]; with no mask, all before it.

    Args:
        q: [rows, heads, new positions, head_dim].
        keys, values: [rows, kv_heads, positions, head_dim].
        mask: see `FusedPass._mask`.
    """
    rows, heads, new, head_dim = q.shape
    if new == 1 or (new <= FEW and mask is not None):  # a KV head's query heads stand where query positions would
        q = q.reshape(rows, keys.shape[1], -1, head_dim)
        seen = functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=scaling)
        return seen.reshape(rows, heads, new, head_dim).transpose(1, 2).reshape(rows, new, heads * head_dim)
    seen = functional.scaled_dot_product_attention(
        q, keys, values, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=True
    )
    return seen.transpose(1, 2).reshape(rows, new, heads * head_dim)
