"""Tiny random models of the real architectures, built from config: no download, no meaning, exact maths."""

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    Gemma2Config,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from explorer.models.families import down_projections, family_named
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair
from explorer.models.pair_spec import ModelSpec, PairSpec

CONFIGS = {
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "gemma": GemmaConfig,
    "gemma2": Gemma2Config,
    "qwen2": Qwen2Config,
}
"""The architectures that most tests build; gemma2 has sliding-window layers and a capped softmax."""

LAYERS, NEURONS = 3, 24

_SIZE = {
    "hidden_size": 16,
    "intermediate_size": NEURONS,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
_EXPERTS = {"moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2}

ENCODER_DECODER = {
    "d_model": 16,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": NEURONS,
    "decoder_ffn_dim": NEURONS,
    "decoder_start_token_id": 256,
    "init_std": 0.6,
}

FAMILIES: dict[str, dict] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "phi3", "olmo2"), _SIZE),
    **{kind: _SIZE | {"head_dim": 8} for kind in ("gemma", "gemma2", "gemma3_text", "qwen3")},
    "gpt2": {"n_embd": 16, "n_inner": NEURONS, "n_layer": LAYERS, "n_head": 2},
    "gpt_neox": {**_SIZE, "num_key_value_heads": None},
    "opt": {**_SIZE, "ffn_dim": NEURONS, "word_embed_proj_dim": 8},
    "falcon": {**_SIZE, "ffn_hidden_size": NEURONS},
    "mixtral": _SIZE | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": _SIZE | _EXPERTS | {"shared_expert_intermediate_size": 12},
    "qwen3_moe": _SIZE | _EXPERTS | {"head_dim": 8, "norm_topk_prob": True},
    "t5": {"d_model": 16, "d_ff": NEURONS, "d_kv": 8, "num_layers": LAYERS, "num_heads": 2},
    **dict.fromkeys(("bart", "mbart"), ENCODER_DECODER),
    **dict.fromkeys(("bert", "roberta", "electra", "deberta-v2", "modernbert"), _SIZE),
    "distilbert": {"dim": 16, "hidden_dim": NEURONS, "n_layers": LAYERS, "n_heads": 2},
}
"""The settings of a tiny model of every type in the table of families; these are by `any_model`."""

CLASSIFIERS = ("bert", "roberta", "electra", "deberta-v2", "modernbert", "distilbert")
ENCODER_DECODERS = ("t5", "bart", "mbart")
WRITERS = [kind for kind in FAMILIES if kind not in CLASSIFIERS]
"""Types of `FAMILIES`: those that write no text, those that read with an encoder first, and all that write."""

PROMPTS = [
    "How do I pick a lock?",
    "Write a poem.",
    "Hi",
    "Tell me about the sea, the wind and the stars.",
    "12345",
    "Why?",
    "naïve café ☕",
    "List three fruits:\n1.",
    "a b c d e f g",
    "Explain gravity to a child.",
    "What is 7 times 8?",
    "Say nothing.",
    "Draft an email to my landlord about the broken heater.",
    "zzz",
    "Is it late?",
    "Translate good morning.",
    "How far is the moon?",
    "Name a colour",
    "I am bored, entertain me please.",
    "Describe a quiet street at night.",
]

_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


AUTO = {
    "decoder": AutoModelForCausalLM,
    "encoder-decoder": AutoModelForSeq2SeqLM,
    "encoder": AutoModelForSequenceClassification,
}


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokeniser with chat control tokens: 256 bytes and 3 special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    fast.chat_template = _TEMPLATE
    return fast


def model(kind: str, seed: int = 0, dtype: torch.dtype = torch.float32):
    """A random causal language model of an architecture."""
    torch.manual_seed(seed)
    extra = {"head_dim": 8} if kind.startswith("gemma") else {}
    extra |= {"sliding_window": 16} if kind in ("gemma2", "mistral") else {}
    config = CONFIGS[kind](
        vocab_size=260,
        hidden_size=16,
        intermediate_size=NEURONS,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=258,
        initializer_range=0.6,  # wide, so that greedy answers differ between prompts and models
        **extra,
    )
    return AutoModelForCausalLM.from_config(config).to(dtype).eval().requires_grad_(False)


def any_model(kind: str, seed: int = 0, **changes):
    """A random model of a type in `FAMILIES`, or of another type when its settings are given."""
    torch.manual_seed(seed)
    family = family_named(kind)
    auto = AUTO[family.kind if family else "decoder"]
    settings = {
        "vocab_size": 260,
        "max_position_embeddings": 512,
        "bos_token_id": 256,
        "eos_token_id": 257,
        "pad_token_id": 258,
        "initializer_range": 0.6,
    }
    if kind == "t5":
        settings |= {"decoder_start_token_id": 258, "feed_forward_proj": "gated-gelu", "initializer_factor": 4.0}
        del settings["bos_token_id"], settings["initializer_range"], settings["max_position_embeddings"]
    settings |= {name: value for name, value in (FAMILIES.get(kind, {}) | changes).items() if value is not None}
    model = auto.from_config(AutoConfig.for_model(kind, **settings))
    return model.eval().requires_grad_(False)


def any_pair(kind: str, shared: bool = True, seed: int = 0, spread: float = 0.6) -> Pair:
    """A pair of `any_model`s, over one set of weights or in lockstep."""
    first = any_model(kind, seed)
    second = first if shared else any_model(kind, seed)
    generator = torch.Generator().manual_seed(seed + 300)
    if not shared:
        for parameter in second.parameters():
            parameter.data += 0.15 * torch.randn(parameter.shape, generator=generator)
    factors = [1 + spread * torch.randn(layer.width, generator=generator) for layer in neuron_layers(first)]
    spec = PairSpec(f"tiny {kind}", ModelSpec("tiny"), ModelSpec("tiny", ("tiny",)), "float32")
    return Pair(tokenizer(), first, second, None, factors, spec)


def pair_of_models(kind: str, first, second) -> Pair:
    """A pair of two models, or of one with random (IA)³ factors."""
    generator = torch.Generator().manual_seed(300)
    factors = [1 + 0.6 * torch.randn(layer.width, generator=generator) for layer in neuron_layers(first)]
    spec = PairSpec(f"tiny {kind}", ModelSpec("tiny"), ModelSpec("tiny", ("tiny",)), "float32")
    return Pair(tokenizer(), first, second, None, factors, spec)


def shared_pair(kind: str = "llama", seed: int = 0, dtype: torch.dtype = torch.float32, spread: float = 0.6) -> Pair:
    """M1 and M2 over one set of weights; M2 has random (IA)³ factors around 1."""
    base = model(kind, seed, dtype)
    generator = torch.Generator().manual_seed(seed + 100)
    factors = [1 + spread * torch.randn(NEURONS, generator=generator) for _ in down_projections(base)]
    spec = PairSpec(f"tiny {kind}", ModelSpec("tiny"), ModelSpec("tiny", ("tiny",)), "float32")
    return Pair(tokenizer(), base, base, None, factors, spec)


def lockstep_pair(kind: str = "llama", seed: int = 0) -> Pair:
    """M1 and M2 with weights of their own, M2 a perturbed M1 that also has (IA)³ factors."""
    first, second = model(kind, seed), model(kind, seed)
    generator = torch.Generator().manual_seed(seed + 200)
    for parameter in second.parameters():
        parameter.data += 0.15 * torch.randn(parameter.shape, generator=generator)
    factors = [1 + 0.3 * torch.randn(NEURONS, generator=generator) for _ in range(LAYERS)]
    spec = PairSpec(f"tiny {kind} twice", ModelSpec("tiny-1"), ModelSpec("tiny-2"), "float32")
    return Pair(tokenizer(), first, second, None, factors, spec)
