"""The layers of the fused back end: from embeddings to the last residual stream, over real tokens only."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional

from explorer.engine.backends.fused_weights import ACTIVATIONS, Block, FusedWeights
from explorer.engine.backends.interface import InPlaceVisit
from explorer.engine.norms import RmsNorm
from explorer.engine.products import Product

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FEW = 16
"""Up to so many new positions a row, those of a KV head's query heads are attended to as one block."""

Attend = Callable[[int, torch.Tensor], torch.Tensor]

Turn = tuple[torch.Tensor, ...]
"""Cosine and sine of the rotary angles, [rows, positions, head_dim] each."""


class StepKernels(Protocol):
    """What lies between products, each as one kernel (`step_kernels.py`); without it, torch computes the same."""

    def turn(self, mixed: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int) -> None:
        """Turn the first heads of each token by its rotary angles, in place."""
        ...

    def gated(self, gate_up: torch.Tensor, gate: str) -> torch.Tensor:
        """The neurons of each token."""
        ...

    def added_and_normed(
        self, x: torch.Tensor, added: torch.Tensor, norm: RmsNorm
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The residual stream with something added, and its norm."""
        ...


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
    w: FusedWeights,
    x: torch.Tensor,
    turned_by: Mapping[str, Turn],
    real: Real,
    attend: Attend,
    visit: InPlaceVisit,
    kernels: StepKernels | None = None,
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
        kernels: compute what lies between products; torch where left out.
    """
    half = w.head_dim // 2
    angles = {}
    for kind, turn in turned_by.items():
        cos, sin = (real.take(part).unsqueeze(1) for part in turn)  # [tokens, 1, head_dim]
        # The minus of "rotate half", once for all layers.
        angles[kind] = cos, torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
    x = real.take(x)
    normed = w.blocks[0].norm1(x)
    for number, block in enumerate(w.blocks):
        cos, sin = angles.get(block.kind) or angles[""]
        mixed = block.qkv(normed).unflatten(-1, (-1, w.head_dim))
        _norm_heads(w, block, mixed)
        _turn(mixed, cos, sin, w.heads + w.kv_heads, kernels)
        x, normed = _onward(block.out, block.after_attention, x, attend(number, mixed), block.norm2, kernels)
        neurons = real.spread(_gated(w, block.gate_up(normed), kernels))
        visit(number, neurons)
        last = number + 1 == len(w.blocks)
        following = None if last else w.blocks[number + 1].norm1
        x, normed = _onward(block.down, block.after_mlp, x, real.take(neurons), following, kernels)
    return real.spread(x)


def _turn(mixed: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int, kernels: StepKernels | None) -> None:
    """Turn queries and keys by their rotary angles, in place."""
    if kernels is not None:
        kernels.turn(mixed, cos, sin, heads)
        return
    turned = mixed.narrow(1, 0, heads)
    swapped = turned.roll(mixed.shape[-1] // 2, -1)
    turned.mul_(cos).addcmul_(swapped, sin)


def _gated(w: FusedWeights, gate_up: torch.Tensor, kernels: StepKernels | None) -> torch.Tensor:
    """The neurons of each token, [tokens, n_neurons]."""
    if kernels is not None:
        return kernels.gated(gate_up, w.gate)
    gate, up = gate_up.chunk(2, dim=-1)
    return ACTIVATIONS[w.gate](gate).mul_(up)


def _onward(
    product: Product,
    after: RmsNorm | None,
    x: torch.Tensor,
    seen: torch.Tensor,
    norm: RmsNorm | None,
    kernels: StepKernels | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The residual stream with a product added, behind its norm where there is one, and what comes next normed.

    Args:
        product: of the attention or of the MLP.
        after: its norm, if it has one.
        x: the residual stream, [tokens, hidden].
        seen: what is multiplied.
        norm: of what comes next; None where nothing does, and then the stream itself is given in its place.
        kernels: see `run_blocks`.
    """
    if kernels is not None and norm is not None:
        added = product(seen)
        return kernels.added_and_normed(x, added if after is None else after(added), norm)
    x = product.added_to(x, seen) if after is None else x + after(product(seen))
    return x, x if norm is None else norm(x)


def _norm_heads(w: FusedWeights, block: Block, mixed: torch.Tensor) -> None:
    """Norm queries and keys head by head, in place, where the model does."""
    for norm, start, heads in ((block.q_norm, 0, w.heads), (block.k_norm, w.heads, w.kv_heads)):
        if norm is not None:
            part = mixed.narrow(1, start, heads)
            part.copy_(norm(part.reshape(-1, w.head_dim)).view_as(part))


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
