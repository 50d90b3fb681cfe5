"""The decode loop of Llama-like models, written out: what transformers' forward computes, with less around it.

Beside the plain form (`passes.HookedPass`) this one

- multiplies q, k, v at once, and gate and up at once (a step of SmolLM2-135M is 121 products, not 211);
- writes keys and values into a cache allocated once, and attends to the KV heads without repeating them;
- builds no mask where no row is padded, and calls `visit` directly: no hooks, no module calls.

The products' weights are laid one behind the other once; the modules' own parameters become views of
them, so nothing is held twice and the modules stay what they were.
"""

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from explorer.neurons.passes import Padding, Visit, most_likely

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

MODEL_TYPES = ("llama", "mistral", "qwen2")
"""Pre-norm blocks of rotary attention and a gated MLP, with nothing else in them."""


@dataclass(frozen=True)
class Product:
    """Several linear maps of one input as one: weight [outputs, inputs], bias [outputs] or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class Block:
    """The weights of one layer, in the order in which they are used."""

    norm1: torch.Tensor
    qkv: Product
    out: Product
    norm2: torch.Tensor
    gate_up: Product
    down: Product


@dataclass(frozen=True)
class FusedWeights:
    """The layers of a model and the numbers that its loop needs."""

    blocks: list[Block]
    heads: int
    kv_heads: int
    head_dim: int
    scaling: float
    eps: float


_known: "weakref.WeakKeyDictionary[nn.Module, FusedWeights | None]" = weakref.WeakKeyDictionary()


def fused_weights(module: "PreTrainedModel") -> FusedWeights | None:
    """The fused weights of a model, made on first use; None where only transformers' forward will do."""
    if module not in _known:
        _known[module] = _fuse_model(module) if _is_plain(module) else None
    return _known[module]


def _is_plain(module: "PreTrainedModel") -> bool:
    """Whether the loop below is this model's whole computation."""
    config = module.config
    if config.model_type not in MODEL_TYPES:
        return False
    linears = [m for m in module.modules() if hasattr(m, "in_features")]
    sliding = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return (
        not sliding
        and config.hidden_act == "silu"
        and len({p.device for p in module.parameters()}) == 1
        and all(type(m) is torch.nn.Linear for m in linears)
        and not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    )


def _fuse_model(module: "PreTrainedModel") -> FusedWeights:
    body: Any = module.base_model
    config, layers = module.config, body.layers
    attention = layers[0].self_attn
    blocks = [
        Block(
            layer.input_layernorm.weight,
            _fuse([layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]),
            _fuse([layer.self_attn.o_proj]),
            layer.post_attention_layernorm.weight,
            _fuse([layer.mlp.gate_proj, layer.mlp.up_proj]),
            _fuse([layer.mlp.down_proj]),
        )
        for layer in layers
    ]
    return FusedWeights(
        blocks,
        config.num_attention_heads,
        config.num_key_value_heads,
        attention.head_dim,
        attention.scaling,
        config.rms_norm_eps,
    )


def _fuse(linears: "list[nn.Linear]") -> Product:
    """One product of several linear maps, which become views of its weight."""
    if len(linears) == 1:
        return Product(linears[0].weight, linears[0].bias)
    with torch.no_grad():
        weight = torch.cat([linear.weight.data for linear in linears])
        biases = [linear.bias.data for linear in linears if linear.bias is not None]
        bias = torch.cat(biases) if biases else None
    start = 0
    for linear in linears:
        end = start + linear.out_features
        linear.weight.data = weight[start:end]
        if bias is not None:
            linear.bias.data = bias[start:end]
        start = end
    return Product(weight, bias)


class FusedPass:
    """A batch of rows of a Llama-like model; see `passes.Pass`."""

    def __init__(self, module: "PreTrainedModel", weights: FusedWeights, longest: int) -> None:
        self.module, self.weights, self.longest = module, weights, longest
        self.body: Any = module.base_model
        self.padding = Padding(module.device)
        self.written = 0  # positions in the cache
        self.cache: torch.Tensor | None = None  # [layers, 2, rows, kv_heads, longest, head_dim]

    def forward(self, pending: list[list[int]], visit: Visit) -> torch.Tensor:
        """See `Pass.forward`."""
        ids, positions = self.padding.advance(pending)
        x = self.module.get_input_embeddings()(ids)
        cos, sin = (half[..., : half.shape[-1] // 2] for half in self.body.rotary_emb(x, positions))
        cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)  # [rows, positions, 1, head_dim / 2]
        cache = self._cache_for(x)
        mask = self._mask(ids.shape[1])
        for number, block in enumerate(self.weights.blocks):
            normed = functional.rms_norm(x, x.shape[-1:], block.norm1, self.weights.eps)
            x = x + block.out(self._attend(block.qkv(normed), cache[number], cos, sin, mask))
            normed = functional.rms_norm(x, x.shape[-1:], block.norm2, self.weights.eps)
            gate, up = block.gate_up(normed).chunk(2, dim=-1)
            neurons = functional.silu(gate) * up
            visit(number, neurons)
            x = x + block.down(neurons)
        self.written += ids.shape[1]
        return self.body.norm(x[:, -1])

    def greedy(self, hidden: torch.Tensor) -> list[int]:
        """See `Pass.greedy`."""
        return most_likely(self.module, hidden)

    def keep(self, rows: list[int]) -> None:
        """See `Pass.keep`."""
        if self.cache is None or len(rows) == self.cache.shape[2]:
            return
        index = torch.tensor(rows, device=self.cache.device, dtype=torch.long)
        self.padding.keep(index)
        self.cache = self.cache.index_select(2, index)

    def _attend(
        self,
        qkv: torch.Tensor,
        cache: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """Attention over the cache of one layer, [rows, positions, heads × head_dim]."""
        w = self.weights
        rows, new = qkv.shape[:2]
        groups = w.heads // w.kv_heads
        split = qkv.view(rows, new, w.heads + 2 * w.kv_heads, w.head_dim)
        first, second = split[:, :, : w.heads + w.kv_heads].chunk(2, dim=-1)
        turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
        end = self.written + new
        cache[0, :, :, self.written : end] = turned[:, :, w.heads :].transpose(1, 2)
        cache[1, :, :, self.written : end] = split[:, :, w.heads + w.kv_heads :].transpose(1, 2)
        keys, values = cache[0, :, :, :end], cache[1, :, :, :end]
        if new == 1:  # the query heads of a KV head stand where query positions would
            q = turned[:, 0, : w.heads].view(rows, w.kv_heads, groups, w.head_dim)
            seen = functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=w.scaling)
            return seen.reshape(rows, 1, w.heads * w.head_dim)
        q = turned[:, :, : w.heads].transpose(1, 2)
        keys, values = keys.repeat_interleave(groups, dim=1), values.repeat_interleave(groups, dim=1)
        seen = functional.scaled_dot_product_attention(
            q, keys, values, attn_mask=mask, is_causal=mask is None, scale=w.scaling
        )
        return seen.transpose(1, 2).reshape(rows, new, w.heads * w.head_dim)

    def _mask(self, new: int) -> torch.Tensor | None:
        """bool [rows, 1, new, positions], what each new position may see; None where that is all before it."""
        padding = self.padding.mask
        if new > 1 and self.written:
            raise RuntimeError("a fused pass reads prompts at once and then one token a step")
        if padding is None:
            return None
        visible = padding.bool()[:, None, None, :]
        if new == 1:
            return visible
        causal = torch.ones(new, new, dtype=torch.bool, device=padding.device).tril()
        # A padded position sees itself, so that no row of the softmax is empty.
        itself = torch.eye(new, dtype=torch.bool, device=padding.device)
        return (visible & causal) | itself

    def _cache_for(self, x: torch.Tensor) -> torch.Tensor:
        if self.cache is None:
            w = self.weights
            self.cache = x.new_zeros(len(w.blocks), 2, x.shape[0], w.kv_heads, self.longest, w.head_dim)
        return self.cache
