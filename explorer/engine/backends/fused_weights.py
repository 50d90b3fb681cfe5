"""The weights of Llama-like models in the form that the fused back end multiplies, made once a model."""

import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from explorer.engine.norms import RmsNorm, rms_norm
from explorer.engine.products import Product, product, return_freed_memory

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

MODEL_TYPES = ("llama", "mistral", "qwen2")
"""Pre-norm blocks of rotary attention and a gated MLP, with nothing else in them."""


@dataclass(frozen=True)
class Block:
    """The weights of one layer, in the order in which they are used."""

    norm1: RmsNorm
    qkv: Product
    out: Product
    norm2: RmsNorm
    gate_up: Product
    down: Product


@dataclass(frozen=True)
class FusedWeights:
    """The layers of a model and the numbers that its loop needs."""

    blocks: list[Block]
    head: Product
    heads: int
    kv_heads: int
    head_dim: int
    scaling: float


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
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # packing is work of one thread
        head = pool.submit(product, [module.get_output_embeddings()])
        blocks = list(pool.map(partial(_fuse_block, eps=config.rms_norm_eps), layers))
    return_freed_memory()
    return FusedWeights(
        blocks,
        head.result(),
        config.num_attention_heads,
        config.num_key_value_heads,
        attention.head_dim,
        attention.scaling,
    )


def _fuse_block(layer: Any, eps: float) -> Block:
    attention, mlp = layer.self_attn, layer.mlp
    return Block(
        rms_norm(layer.input_layernorm, eps),
        product([attention.q_proj, attention.k_proj, attention.v_proj]),
        product([attention.o_proj]),
        rms_norm(layer.post_attention_layernorm, eps),
        product([mlp.gate_proj, mlp.up_proj]),
        product([mlp.down_proj]),
    )
