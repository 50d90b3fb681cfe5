"""A pair in 8 and in 4 bits, by bitsandbytes: it answers, as its own naive form, in a part of the memory."""

import tempfile
from collections.abc import Iterator
from importlib.util import find_spec

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import explorer
from explorer.models.pair import Pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from tests import tiny
from tests.bench.gpu_exact import equal_answers, with_factors
from tests.bench.measure import Line

SHAPE = {
    "vocab_size": 1_000,
    "hidden_size": 1_024,
    "intermediate_size": 2_816,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
}
BOUNDS = {"8bit": 0.6, "4bit": 0.4}
"""Of the memory of the same weights in float16, at most; embedding and unembedding stay as they are."""


def quantised(device: torch.device) -> Iterator[Line]:
    """A line for each precision; one that says why not where it cannot be.

    Args:
        device: where it is measured.
    """
    if find_spec("bitsandbytes") is None:
        yield Line("8 and 4 bits", "", "bitsandbytes is not installed", None, "", None)
        return
    if device.type != "cuda":
        yield Line("8 and 4 bits", "", "bitsandbytes is asked on GPUs alone", None, "", None)
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        config = AutoConfig.for_model("llama", **SHAPE)
        AutoModelForCausalLM.from_config(config).half().save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        plain = _load(folder, device, "").memory_bytes
        for kind, bound in BOUNDS.items():
            try:
                pair = _load(folder, device, kind)
                found = equal_answers(pair, tiny.PROMPTS[:3], 12)
            except Exception as problem:  # noqa: BLE001  every kind of failure is a finding
                yield Line(
                    f"a pair in {kind}", f"{type(problem).__name__}: {problem}"[:300], "", None, "it runs", False
                )
                continue
            share = pair.memory_bytes / plain
            # In 8 bits, which activations are kept in float16 depends on what else is in the batch: no goal of all.
            equal = f"naive reference ({sum(found)} of {len(found)} answers equal); memory in float16"
            yield Line(
                f"a pair in {kind}", f"{pair.memory_bytes / 1e6:.0f} MB", equal, share, f"≤ {bound}", share <= bound
            )


def _load(folder: str, device: torch.device, quantisation: str) -> Pair:
    """One set of weights with (IA)³ factors, as the paper's pairs are."""
    spec = ModelSpec(folder)
    said = PairSpec("quantised", spec, spec, "float16", device=str(device), quantisation=quantisation)
    return with_factors(explorer.load_pair(said), 0.3)
