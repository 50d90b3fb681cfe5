"""The weights of Llama-like models in the form that the fused back end multiplies, made once a model."""

import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from explorer.engine.norms import RmsNorm, rms_norm
from explorer.engine.products import Product, affords_copies, product, return_freed_memory, with_lora
from explorer.models.lora import base_of

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

GEMMAS = ("gemma", "gemma2", "gemma3_text")
"""Norms whose weights are kept less 1, and scaled embeddings; the last two with norms behind attention and MLP."""

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", *GEMMAS)
"""Blocks of rotary attention and a gated MLP, with norms in front and behind, and nothing else in them."""

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": functional.silu,
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
}
"""By their names in a config."""

FULL, SLIDING = "full_attention", "sliding_attention"
"""Kinds of layers, as a config names them."""


@dataclass(frozen=True)
class Block:
    """The weights of one layer, in the order in which they are used.

    Attributes:
        norm1, qkv: of attention's input; q, k and v are one product.
        q_norm, k_norm: of each head's query and key; None for none.
        out: attention's output projection.
        after_attention: a norm of what attention adds to the residual stream; None for none.
        norm2, gate_up, down: of the MLP.
        after_mlp: a norm of what the MLP adds; None for none.
        window: how many positions attention sees back, the own one included; None for all.
        kind: of the layer, by which some models choose the rotary angles.
    """

    norm1: RmsNorm
    qkv: Product
    q_norm: RmsNorm | None
    k_norm: RmsNorm | None
    out: Product
    after_attention: RmsNorm | None
    norm2: RmsNorm
    gate_up: Product
    down: Product
    after_mlp: RmsNorm | None
    window: int | None
    kind: str


@dataclass(frozen=True)
class FusedWeights:
    """The layers of a model and the numbers that its loop needs.

    Attributes:
        blocks: the layers.
        head: the unembedding.
        heads, kv_heads, head_dim: of attention.
        scaling: of the products of queries and keys.
        softcap: attention's logits are capped smoothly at this; None where they are not.
        gate: the activation of the gate, by its name in `ACTIVATIONS`.
        kinds: of layers that have rotary angles of their own; (None,) where all share them.
    """

    blocks: list[Block]
    head: Product
    heads: int
    kv_heads: int
    head_dim: int
    scaling: float
    softcap: float | None
    gate: str
    kinds: tuple[str | None, ...]

    @property
    def windows(self) -> set[int | None]:
        """Of all layers."""
        return {block.window for block in self.blocks}


_known: "weakref.WeakKeyDictionary[nn.Module, FusedWeights | None]" = weakref.WeakKeyDictionary()


def fused_weights(module: "PreTrainedModel") -> FusedWeights | None:
    """The fused weights of a model, made on first use; None where only transformers' forward will do."""
    if module not in _known:
        base = base_of(module)
        if base is not None:
            shared = fused_weights(base)
            _known[module] = None if shared is None else _with_lora(module, shared)
        else:
            _known[module] = _fuse_model(module) if _is_plain(module) else None
    return _known[module]


def _is_plain(module: "PreTrainedModel") -> bool:
    """Whether the fused loop is this model's whole computation."""
    config = module.config
    if config.model_type not in MODEL_TYPES:
        return False
    linears = [m for m in module.modules() if hasattr(m, "in_features")]
    embedding = module.get_input_embeddings()
    return (
        _activation_name(config) in ACTIVATIONS
        and set(_kinds(config)) <= {FULL, SLIDING}
        and not getattr(config, "use_bidirectional_attention", False)
        # Older releases of transformers scale in the model's forward, which the loop replaces.
        and (config.model_type not in GEMMAS or hasattr(embedding, "embed_scale"))
        and len({p.device for p in module.parameters()}) == 1
        and all(type(m) is torch.nn.Linear for m in linears)
        and not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    )


def _activation_name(config: Any) -> str:
    return str(getattr(config, "hidden_activation", None) or config.hidden_act)


def _kinds(config: Any) -> list[str]:
    """The kind of each layer."""
    named = getattr(config, "layer_types", None)
    if named:
        return list(named)
    window = getattr(config, "sliding_window", None) if config.model_type == "mistral" else None
    return [SLIDING if window else FULL] * config.num_hidden_layers


def _fuse_model(module: "PreTrainedModel") -> FusedWeights:
    body: Any = module.base_model
    config, layers, kinds = module.config, body.layers, _kinds(module.config)
    attention = layers[0].self_attn
    multiplied = partial(product, copies=affords_copies(module))
    # Packing is work of one thread. On a GPU there is none: layers beside each other would only hold more memory.
    threads = torch.get_num_threads() if module.device.type == "cpu" else 1
    with ThreadPoolExecutor(threads) as pool:
        head = pool.submit(multiplied, [module.get_output_embeddings()])
        blocks = list(pool.map(partial(_fuse_block, config=config, multiplied=multiplied), layers, kinds))
    return_freed_memory()
    return FusedWeights(
        blocks,
        head.result(),
        config.num_attention_heads,
        config.num_key_value_heads,
        attention.head_dim,
        attention.scaling,
        getattr(config, "attn_logit_softcapping", None),
        _activation_name(config),
        tuple(sorted(set(kinds))) if config.model_type == "gemma3_text" else (None,),
    )


def _with_lora(module: "PreTrainedModel", base: FusedWeights) -> FusedWeights:
    """Those of a model with LoRA beside another one's weights, which are packed once for both."""
    body: Any = module.base_model
    blocks = [
        replace(
            block,
            qkv=with_lora(block.qkv, [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]),
            out=with_lora(block.out, [layer.self_attn.o_proj]),
            gate_up=with_lora(block.gate_up, [layer.mlp.gate_proj, layer.mlp.up_proj]),
            down=with_lora(block.down, [layer.mlp.down_proj]),
        )
        for block, layer in zip(base.blocks, body.layers, strict=True)
    ]
    head: Any = module.get_output_embeddings()
    return replace(base, blocks=blocks, head=with_lora(base.head, [head]))


def _fuse_block(layer: Any, kind: str, config: Any, multiplied: Callable[[list[Any]], Product]) -> Block:
    attention, mlp = layer.self_attn, layer.mlp

    def norm(module: Any) -> RmsNorm:
        return rms_norm(module, config.rms_norm_eps, above_one=config.model_type in GEMMAS)

    def norm_or_none(module: Any) -> RmsNorm | None:
        return None if module is None else norm(module)

    around = hasattr(layer, "pre_feedforward_layernorm")  # norms behind attention and MLP, too
    return Block(
        norm(layer.input_layernorm),
        multiplied([attention.q_proj, attention.k_proj, attention.v_proj]),
        norm_or_none(getattr(attention, "q_norm", None)),
        norm_or_none(getattr(attention, "k_norm", None)),
        multiplied([attention.o_proj]),
        norm(layer.post_attention_layernorm) if around else None,
        norm(layer.pre_feedforward_layernorm if around else layer.post_attention_layernorm),
        multiplied([mlp.gate_proj, mlp.up_proj]),
        multiplied([mlp.down_proj]),
        norm(layer.post_feedforward_layernorm) if around else None,
        config.sliding_window if kind == SLIDING else None,
        kind,
    )
