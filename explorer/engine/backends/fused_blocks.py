"""The layers of the fused back end: from embeddings to the last residual stream, over real tokens only."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from explorer.engine.backends.fused_weights import Block, FusedWeights
from explorer.engine.backends.interface import InPlaceVisit

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FEW = 16
"""Up to so many new positions a row, those of a KV head's query heads are attended to as one block."""

Attend = Callable[[int, torch.Tensor], torch.Tensor]

Turn = tuple[torch.Tensor, ...]
"""Cosine and sine of the rotary angles, [rows, positions, head_dim] each."""


class Real:
    """The real tokens of a padded batch, one behind the other, and back.

    Args:
        shape: rows and positions of the batch.
        mask: int64 [rows, positions], 0 on padding; None where there is none.
        device: where the tokens are; the mask's own where left out.
    """

    def __init__(self, shape: tuple[int, int], mask: torch.Tensor | None, device: torch.device | None = None) -> None:
        self.shape = shape
        at = None if mask is None else mask.flatten().nonzero().squeeze(1)  # int64 [tokens]
        self.at = at if at is None or device is None else at.to(device)

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


def turns(module: "PreTrainedModel", w: FusedWeights, x: torch.Tensor, positions: torch.Tensor) -> dict[str, Turn]:
    """The rotary angles of each kind of layer; "" stands for all kinds where they share them."""
    rotary: Any = module.base_model.rotary_emb
    return {kind or "": rotary(x, positions, kind) if kind else rotary(x, positions) for kind in w.kinds}


def run_blocks(
    w: FusedWeights, x: torch.Tensor, turned_by: Mapping[str, Turn], real: Real, attend: Attend, visit: InPlaceVisit
) -> torch.Tensor:
    """The layers: from embeddings to the last residual stream, [rows, positions, hidden] both.

    Args:
        w: of the model.
        x: the embeddings.
        turned_by: of `turns`.
        real: which positions are real.
        attend: gets a layer and [tokens, heads + 2 × kv_heads, head_dim], q, k and v one behind the other; gives what
            the heads have seen, [tokens, heads × head_dim].
        visit: see `interface.InPlaceVisit`.
    """
    half = w.head_dim // 2
    angles = {}
    for kind, turn in turned_by.items():
        cos, sin = (real.take(part).unsqueeze(1) for part in turn)  # [tokens, 1, head_dim]
        # The minus of "rotate half", once for all layers.
        angles[kind] = cos, torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
    x = real.take(x)
    for number, block in enumerate(w.blocks):
        cos, sin = angles.get(block.kind) or angles[""]
        mixed = block.qkv(block.norm1(x)).unflatten(-1, (-1, w.head_dim))
        _norm_heads(w, block, mixed)
        turned = mixed.narrow(1, 0, w.heads + w.kv_heads)
        swapped = turned.roll(half, -1)
        turned.mul_(cos).addcmul_(swapped, sin)
        x = _added(block.out, block.after_attention, x, attend(number, mixed))
        gate, up = block.gate_up(block.norm2(x)).chunk(2, dim=-1)
        neurons = real.spread(w.activation(gate).mul_(up))
        visit(number, neurons)
        x = _added(block.down, block.after_mlp, x, real.take(neurons))
    return real.spread(x)


def _norm_heads(w: FusedWeights, block: Block, mixed: torch.Tensor) -> None:
    """Norm queries and keys head by head, in place, where the model does."""
    for norm, start, heads in ((block.q_norm, 0, w.heads), (block.k_norm, w.heads, w.kv_heads)):
        if norm is not None:
            part = mixed.narrow(1, start, heads)
            part.copy_(norm(part.reshape(-1, w.head_dim)).view_as(part))


def _added(product: Any, norm: Any, residual: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The residual stream with a product added, behind its norm where there is one."""
    added: torch.Tensor = product.added_to(residual, x) if norm is None else residual + norm(product(x))
    return added


def attention(
    w: FusedWeights, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """What each position has seen, [rows, positions, heads × head_dim]; with no mask, all before it.

    Args:
        w: of the model.
        q: [rows, heads, new positions, head_dim].
        keys, values: [rows, kv_heads, positions, head_dim].
        mask: see `fused_masks.Masks`.
    """
    rows, heads, new, head_dim = q.shape
    if new == 1 or (new <= FEW and mask is not None):  # a KV head's query heads stand where query positions would
        q = q.reshape(rows, keys.shape[1], -1, head_dim)
        seen = _seen(w, q, keys, values, mask)
        return seen.reshape(rows, heads, new, head_dim).transpose(1, 2).reshape(rows, new, heads * head_dim)
    if w.softcap is not None:
        keys, values = (part.repeat_interleave(heads // w.kv_heads, dim=1) for part in (keys, values))
        seen = _seen(w, q, keys, values, mask)
    else:
        seen = functional.scaled_dot_product_attention(
            q, keys, values, attn_mask=mask, is_causal=mask is None, scale=w.scaling, enable_gqa=True
        )
    return seen.transpose(1, 2).reshape(rows, new, heads * head_dim)


def _seen(
    w: FusedWeights, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """What each query has seen of all keys but those that the mask hides, [rows, heads, queries, head_dim]."""
    if w.softcap is None:
        return functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=w.scaling)
    logits = torch.tanh(q @ keys.transpose(-1, -2) * w.scaling / w.softcap) * w.softcap
    if mask is not None:
        logits = logits + mask
    return logits.softmax(-1, dtype=torch.float32).to(q.dtype) @ values
