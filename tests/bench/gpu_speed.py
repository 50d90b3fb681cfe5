"""Speed and memory of pairs in the shapes of 7B models.

Weights are random, made on the device: speed and memory depend on the shape alone. Each pair is one set of weights with
(IA)³ factors, as the paper's are. Nothing is drafted. A step's bound is the time in which its weights can be read once.
"""

from collections.abc import Iterator
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import explorer
from explorer.engine.backends.choosing import backend_of
from explorer.engine.contrast import _accumulate
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText, batches, inputs_of
from explorer.engine.sums import Summing, Sums
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.bench.generation import Undrafted, written_by_generate
from tests.bench.gpu_place import Place
from tests.bench.measure import Line, never_ending

TOKENS = 64
PROMPT = "Explain how a lock works, step by step, to somebody who has never seen one."

LLAMA = {"model_type": "llama", "num_key_value_heads": 32, "intermediate_size": 11_008, "vocab_size": 32_000}
MISTRAL = {
    "model_type": "mistral",
    "num_key_value_heads": 8,
    "intermediate_size": 14_336,
    "vocab_size": 32_000,
    "sliding_window": 4_096,
}
GEMMA = {
    "model_type": "gemma",
    "hidden_size": 3_072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "head_dim": 256,
    "intermediate_size": 24_576,
    "vocab_size": 256_000,
    "hidden_act": "gelu_pytorch_tanh",
}
SHAPES = {"Llama-2-7B": LLAMA, "Mistral-7B": MISTRAL, "Gemma-7B": GEMMA}
SIZE = {"hidden_size": 4_096, "num_hidden_layers": 32, "num_attention_heads": 32}
SMALL = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 344,
    "vocab_size": 1_000,
}


def shape(place: Place, name: str) -> Iterator[Line]:
    place.forget_peak()
    pair = random_pair(place, name)
    weights = pair.memory_bytes
    ns = NeuronSet.random(pair, pair.total_neurons // 100, 1)
    with never_ending(pair):
        yield from _steps(place, name, pair, ns, weights)
        yield _contrasting(place, name, pair)
        if place.device.type == "cuda":
            peak = f"{name}: peak memory of making, patching and contrasting"
            yield _ratio(peak, place.peak(), weights, "GB", 1e-9, "of weights", 1.3)
        yield _attributing(place, name, pair)
        if name == "Llama-2-7B":
            yield _sweeping(place, name, pair)
    if place.device.type == "cuda":
        yield _ratio(f"{name}: peak memory with attribution and a sweep", place.peak(), weights, "GB", 1e-9,
                     "of weights", None)  # fmt: skip


def random_pair(place: Place, name: str) -> Pair:
    settings = SIZE | SHAPES[name]
    if place.small:
        settings |= SMALL | ({"head_dim": 32} if "head_dim" in settings else {})
    kind = settings.pop("model_type")
    config = AutoConfig.for_model(kind, **settings, bos_token_id=256, eos_token_id=257, pad_token_id=258)
    dtype = torch.bfloat16 if place.device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with place.device:
            model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(torch.float32)
    factors = [1 + 0.1 * torch.randn(layer.width, device=place.device) for layer in neuron_layers(model)]
    spec = ModelSpec(name)
    return Pair(tiny.tokenizer(), model, model, None, factors, PairSpec(f"{name}-shaped", spec, spec))


def _steps(place: Place, name: str, pair: Pair, ns: NeuronSet, weights: int) -> Iterator[Line]:
    row = torch.tensor([pair.encode(PROMPT)], device=place.device)

    def three(tokens: int = TOKENS) -> None:
        sweep(pair, [PROMPT], Columns([ns]), Decoding(tokens, draft=Undrafted()))

    theirs = place.seconds(lambda: written_by_generate(pair.m1, row, TOKENS))
    goal, item = 0.5 if place.device.type == "cuda" else None, f"{name}: three columns of {TOKENS} tokens"
    yield _ratio(f"{item}, {backend_of(pair.backbone1).name}", place.seconds(three), theirs, "s", 1, "`generate`", goal)
    if not place.bandwidth:
        return
    for count in (1, 16):
        prompts = [PROMPT] * count

        def one(tokens: int, prompts: list[str] = prompts) -> None:
            sweep(pair, prompts, Columns([], aligned=False), Decoding(tokens, draft=Undrafted()))

        step = (place.seconds(lambda: one(TOKENS)) - place.seconds(lambda: one(TOKENS // 4))) / (TOKENS * 3 / 4)
        bound = weights / place.bandwidth
        yield _ratio(f"{name}: a step, {count} row{'s' * (count > 1)}", step, bound, "ms", 1e3, "to read the weights",
                     1.5 if count == 1 else None)  # fmt: skip
    if place.device.type == "cuda":
        _print_kernels(lambda: three(TOKENS // 2))
    step = (place.seconds(three) - place.seconds(lambda: three(TOKENS // 4))) / (TOKENS * 3 / 4)
    yield _ratio(f"{name}: a step of three columns", step, weights / place.bandwidth, "ms", 1e3, "to read the weights",
                 None)  # fmt: skip


def _print_kernels(work: Any) -> None:
    """Which kernels a decoding step spends its time in, the greatest first: those of attention are seen here, too."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    kernels = sorted(seen.key_averages(), key=lambda event: -event.device_time_total)
    for event in kernels[:24]:
        print(f"    {event.device_time_total / 1e3:9.2f} ms {event.count:7} × {event.key[:150]}")


def _contrasting(place: Place, name: str, pair: Pair) -> Line:
    ids = pair.encode(PROMPT)
    ((_, texts),) = batches([TokenText(ids, [30] * 40) for _ in range(16)], 16)
    batch = inputs_of(pair.m1, texts)["input_ids"]
    tokens = sum(map(len, texts))

    def bare() -> None:
        with torch.inference_mode():
            for model in (pair.m1, pair.m2):
                model.base_model(input_ids=batch, use_cache=False)

    def ours() -> None:
        with Summing(Sums.zeros(pair.n_layers, pair.n_neurons)) as summing:
            for _ in range(4):
                _accumulate(pair, texts, "paper", summing)

    mine, theirs = place.seconds(ours) / 4, place.seconds(bare)
    return Line(
        f"{name}: contrast of 16 texts",
        f"{tokens / mine:,.0f} tokens/s",
        f"{tokens / theirs:,.0f} tokens/s, two bare forwards",
        theirs / mine,
        "≥ 0.9",
        theirs / mine >= 0.9 if place.device.type == "cuda" else None,
    )


def _attributing(place: Place, name: str, pair: Pair) -> Line:
    prompts = [PROMPT] * 16
    tokens = 16 * (len(pair.encode(PROMPT)) + 4)
    took = place.seconds(lambda: explorer.attribute(pair, prompts, target="I c", steps=2), 1)
    return Line(f"{name}: attribution, 2 steps", f"{tokens / took:,.0f} tokens/s", "", None, "", None)


def _sweeping(place: Place, name: str, pair: Pair) -> Line:
    """48 sets at 16 prompts, beside the same generations one after another (from four of them)."""
    sets = [
        NeuronSet.random(pair, max(1, pair.total_neurons * (1 + i) // 200), i) for i in range(4 if place.small else 48)
    ]
    prompts, tokens = [f"{PROMPT} ({i})" for i in range(16)], 32

    def ours() -> None:
        sweep(pair, prompts, Columns(sets, unpatched=False, aligned=False), Decoding(tokens, 256, Undrafted()))

    def one_after_another() -> None:
        for i in range(4):
            sweep(
                pair,
                [prompts[i]],
                Columns([sets[i]], unpatched=False, aligned=False),
                Decoding(tokens, draft=Undrafted()),
            )

    theirs = place.seconds(one_after_another, 1) / 4 * len(sets) * len(prompts)
    mine = place.seconds(ours, 1)
    return Line(
        f"{name}: sweep, {len(sets)} sets × 16 prompts, {tokens} tokens",
        f"{mine:.1f} s",
        f"{theirs:.0f} s, one after another (from 4 of them)",
        theirs / mine,
        "≥ 10",
        theirs / mine >= 10 if place.device.type == "cuda" else None,
    )


def _ratio(item: str, ours: float, theirs: float, unit: str, times: float, what: str, goal: float | None) -> Line:
    return Line(
        item,
        f"{ours * times:.2f} {unit}",
        f"{theirs * times:.2f} {unit} {what}",
        ours / theirs,
        f"≤ {goal}" if goal else "",
        ours / theirs <= goal if goal else None,
    )
