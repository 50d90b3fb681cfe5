"""A tiny random model of every causal language model type that transformers can build from a config alone.

    model = zoo.tiny_model("granitemoe")     # or one of `zoo.types()`

No list of types: each configuration is asked which of the usual settings it has, and those are made small. Where
a type wants other numbers (heads that divide, a period of layers), the attempts of `ATTEMPTS` are tried in turn.
"""

from collections.abc import Iterator
from typing import Any

import torch

from explorer.models.loader import decoder_class

_QWEN4 = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 8,
    "indexer_compress_ratio": 2,
    "ple_embed_dim": 8,
    "ngram_vocab_size_base": 50,
    "make_ngram_vocab_size_divisible_by": 2,
    "split_ngram_parts": 2,
    "heads_per_ngram": 2,
}

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "dim_model": 32,
    "embedding_size": 32,
    "word_embed_proj_dim": 32,
    "emb_dim": 32,
    "embedding_dim": 32,
    "intermediate_size": 24,
    "intermediate_size_mlp": 40,
    "ffn_hidden_size": 24,
    "ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "encoder_ffn_dim": 24,
    "n_inner": 24,
    "dff": 24,
    "dim_ff": 24,
    "d_inner": 24,
    "feed_forward_size": 24,
    "dense_intermediate_size": 24,
    "prefix_dense_intermediate_size": 24,
    "moe_intermediate_size": 8,
    "expert_ffn_hidden_size": 8,
    "shared_expert_intermediate_size": 12,
    "moe_shared_expert_intermediate_size": 12,
    "shared_experts_intermediate_size": 12,
    "shared_intermediate_size": 12,
    "num_hidden_layers": 4,
    "n_layer": 4,
    "n_layers": 4,
    "num_layers": 4,
    "decoder_layers": 3,
    "encoder_layers": 3,
    "num_decoder_layers": 3,
    "num_encoder_layers": 3,
    "num_blocks": 4,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_attention_heads": 4,
    "num_decoder_attention_heads": 4,
    "num_encoder_attention_heads": 4,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2,
    "num_key_value_heads": 2,
    "num_kv_heads": 2,
    "num_query_groups": 2,
    "head_dim": 8,
    "global_head_dim": 8,
    "swa_head_dim": 8,
    "v_head_dim": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "kv_channels": 8,
    "attention_head_dim": 8,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "o_lora_rank": 8,
    "o_groups": 2,
    "index_head_dim": 8,
    "index_n_heads": 2,
    "rotary_dim": 4,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "num_experts_per_token": 2,
    "moe_topk": 2,
    "moe_k": 2,
    "n_group": 2,
    "topk_group": 1,
    "num_expert_group": 2,
    "first_k_dense_replace": 1,
    "num_dense_layers": 1,
    "moe_layer_start_index": 1,
    "vocab_size": 260,
    "decoder_vocab_size": 260,
    "unpadded_vocab_size": 260,
    "vocab_size_per_layer_input": 260,
    "hidden_size_per_layer_input": 8,
    "max_position_embeddings": 512,
    "n_positions": 512,
    "n_ctx": 512,
    "max_seq_len": 512,
    "model_max_length": 512,
    "context_length": 512,
    "sliding_window": 16,
    "attention_window_size": 16,
    "window_size": 16,
    "local_attention": 16,
    "attention_chunk_size": 64,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_heads": 4,
    "linear_head_dim": 8,
    "mamba_d_state": 8,
    "mamba_d_head": 16,
    "mamba_n_heads": 4,
    "mamba_d_ssm": 64,
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "mamba_headdim": 16,
    "n_mamba_heads": 4,
    "mamba_n_groups": 1,
    "mamba_ngroups": 1,
    "n_groups": 1,
    "mamba_dt_rank": 4,
    "time_step_rank": 4,
    "state_size": 8,
    "ssm_state_size": 8,
    "lru_width": 32,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "altup_num_inputs": 2,
    "laurel_rank": 4,
    "num_kv_shared_layers": 0,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 258,
    "sep_token_id": 257,
    "cls_token_id": 256,
    "decoder_start_token_id": 256,
    "attention_hidden_size": 32,
    "pronunciation_vocab_size": 300,
    "shape_vocab_size": 300,
    "pronunciation_embed_dim": 8,
    "shape_embed_dim": 8,
    "encoder_hash_byte_group_vocab": 300,
    "hidden_size_global": 32,
    "router_hidden_size": 16,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "num_mem_blocks": 1,
    "depth": 1,
    "embed_dim": 32,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
    "image_size": 16,
    "patch_size": 8,
    "is_decoder": True,
    "is_encoder_decoder": False,
}
"""The usual settings by name, in every configuration that has them."""

ATTEMPTS: tuple[dict[str, Any], ...] = (
    {},
    {"num_key_value_heads": 4},
    {"num_key_value_heads": 4, "head_dim": 16},
    {"hidden_size": 64, "num_attention_heads": 4, "head_dim": 16},
    {"num_experts_per_tok": 1},
    {"num_hidden_layers": 6, "num_key_value_heads": 4},
)
"""What is changed in `SMALL`, one attempt after another, until a model can be built and run."""

_MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}}

SPECIAL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"), _MROPE),
    "bamba": {"attn_layer_indices": [1, 3]},
    "bailing_hybrid": {"layer_group_size": 2},
    "cohere_compass_text": {"rope_parameters": dict.fromkeys(("full_attention", "sliding_attention"))},
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "num_experts_per_tok": 2},
    "gemma3n_text": {
        "intermediate_size": [24, 24, 32, 24],
        "activation_sparsity_pattern": [0.0] * 4,
        "vocab_size": 260,
    },
    "granitemoehybrid": {"layer_types": ["mamba", "attention", "mamba", "attention"]},
    "kimi_linear": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "reformer": {"axial_pos_embds": False, "num_hidden_layers": 2, "attn_layers": ["local", "local"]},
    "xmod": {"default_language": "en_XX"},
    "zamba2": {
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
    },
    "zamba": {
        "num_hidden_layers": 8,
        "attn_layer_period": 3,
        "attn_layer_offset": 2,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
    },
    "qwen4_exp": _QWEN4,
    "qwen4_exp_text": _QWEN4,
}
"""Settings of single types that nothing general gives."""

_KEPT = ("audio_config",)


SEEING = (
    "aria",
    "aya_vision",
    "cohere2_vision",
    "deepseek_vl",
    "exaone4_5",
    "idefics3",
    "internvl",
    "llava",
    "llava_onevision",
    "mistral3",
    "paligemma",
    "qwen2_5_vl",
    "qwen2_vl",
    "qwen3_vl",
    "qwen3_vl_moe",
    "smolvlm",
)
"""Models that also see, and are in no list of language models."""


def types() -> list[str]:
    """Every type that transformers makes a causal language model of, and `SEEING`, by name."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *SEEING})


def tiny_model(kind: str, seed: int = 0) -> Any:
    """A random model of a type, in float32.

    Raises:
        Exception: whatever transformers raises, when no attempt builds one that reads.
    """
    first: Exception | None = None
    for attempt in ATTEMPTS:
        try:
            model = _build(kind, attempt, seed)
            with torch.inference_mode():
                model(input_ids=torch.tensor([[5, 6, 7], [9, 8, 7]]), use_cache=False)
            return model
        except Exception as problem:  # noqa: BLE001  every family raises its own
            first = first or problem
    assert first is not None
    raise first


def tiny_config(kind: str, changes: dict[str, Any]) -> Any:
    """The configuration of a type with the settings of `SMALL`, `changes` and `SPECIAL`."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    special = SPECIAL.get(kind, {})
    return _shrunk(CONFIG_MAPPING[kind], SMALL | changes | special, special)


def _build(kind: str, attempt: dict[str, Any], seed: int) -> Any:
    torch.manual_seed(seed)
    config = tiny_config(kind, attempt)
    model = decoder_class(kind).from_config(config)
    size = sum(p.numel() for p in model.parameters())
    if size > 8_000_000:
        raise ValueError(f"{kind} is not tiny: {size:,} weights")
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():  # wide, so that greedy answers differ between prompts and models
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = parameter.data + 0.1 * noise if parameter.ndim < 2 else 0.3 * noise
    return model.float().eval().requires_grad_(False)


def _shrunk(config_class: Any, settings: dict[str, Any], special: dict[str, Any]) -> Any:
    """A configuration of a class, and of the configurations in it, with those of the settings that it has."""
    defaults = config_class()
    given: dict[str, Any] = {}
    for name in _names(defaults):
        try:
            value = getattr(defaults, name, None)
        except Exception:  # noqa: BLE001  one value for each layer; the type's own rule gives them
            continue
        if name in special:
            given[name] = special[name]
        elif hasattr(value, "model_type") and hasattr(value, "to_dict"):
            given[name] = _shrunk(type(value), settings, {} if "Vision" in type(value).__name__ else special)
        elif name in settings and not isinstance(value, (list, tuple, dict)):
            given[name] = settings[name]
    return config_class(**given)


def _names(config: Any) -> Iterator[str]:
    mapped = getattr(config, "attribute_map", {})
    for name in dict.fromkeys([*vars(config), *getattr(config, "__dataclass_fields__", {})]):
        if not name.startswith("_") and name not in mapped:
            yield name
