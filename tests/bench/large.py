"""Attribution of a pair as large as a 3B model, in bfloat16, with random weights: that it runs, and in how much memory.

Only the shape matters here (that of Llama 3.2 3B: 28 layers of 8,192 neurons, 128,256 words). Both models share one
set of weights and differ by (IA)³ factors, as the demo's do. Few prompts, a target text and two steps: the peak is that
of the weights, of the fused pass's copy of them, and of one batch, and does not grow with any of them
(`attributing.memory`).
"""

import json
import time

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

import explorer
from explorer.models.pair import Pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from tests.bench.measure import Line, forget_peak, own_process, resident_mb

PROMPTS = ["Say one.", "Say two.", "Say three.", "Say four."]
TARGET = "I can't help with that"


def attribution() -> Line:
    """The peak beside what the weights take, in a process of its own."""
    found = json.loads(own_process("-m", "tests.bench.large"))
    return Line(
        "attribution of a 3B-shaped pair, bfloat16",
        f"{found['peak']:.1f} GB at the most; {len(PROMPTS)} prompts in {found['processor']:.0f} s of processor time",
        f"{found['weights']:.1f} GB of weights",
        found["peak"] / found["weights"],
        "runs",
        True,
    )


def _pair() -> Pair:
    config = LlamaConfig(
        vocab_size=128_256,
        hidden_size=3072,
        intermediate_size=8192,
        num_hidden_layers=28,
        num_attention_heads=24,
        num_key_value_heads=8,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    factors = [1 + 0.1 * torch.randn(8192) for _ in range(28)]
    tokenizer = explorer.load_pair("demo").tokenizer  # its ids are all below the size of this vocabulary
    spec = ModelSpec("random")
    return Pair(tokenizer, model, model, None, factors, PairSpec("3B-shaped", spec, spec))


def _measure() -> None:
    pair = _pair()
    forget_peak()
    start = time.process_time()
    scores = explorer.attribute(pair, PROMPTS, target=TARGET, steps=2).scores
    processor = time.process_time() - start
    assert scores.shape == (28, 8192)
    found = {"weights": pair.memory_bytes / 1e9, "peak": resident_mb("VmHWM") * 2**20 / 1e9, "processor": processor}
    print(json.dumps(found))


if __name__ == "__main__":
    _measure()
