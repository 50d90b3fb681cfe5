"""`make gpu`: exactness, speed and memory on a GPU, in at most six minutes; on a processor with small shapes.

    python -m tests.bench.gpu                    # the first CUDA device, shapes of 7B models
    python -m tests.bench.gpu --small            # small shapes, on whatever there is
    python -m tests.bench.gpu --only exact

Weights of the shapes are random, made on the device: speed and memory depend on the shape alone. Each pair is one set
of weights with (IA)³ factors, as the paper's are. A step's bound is the time in which its weights can be read once.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

import explorer
from explorer.engine.backends.choosing import backend_of
from explorer.engine.contrast import _accumulate
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText, batches, inputs_of
from explorer.engine.reference import naive_greedy, naive_patched
from explorer.engine.sums import Summing, Sums
from explorer.models import embedded
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.bench.generation import written_by_generate
from tests.bench.measure import Line, forget_peak, never_ending, resident_mb, show
from tests.bench.on_device import differences, moved
from tests.bench.quantised import quantised

TOKENS = 64
REPEATS = 3
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
GROUPS = ("exact", "computations", "split", "demo", *SHAPES, "quantised")


@dataclass(frozen=True)
class Place:
    """Where it is measured.

    Attributes:
        device: a torch device.
        small: whether shapes are small.
        bandwidth: bytes a second that the device reads, measured; 0 where it is not asked.
    """

    device: torch.device
    small: bool
    bandwidth: float

    def wait(self) -> None:
        """Until the device has done what it was asked."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Any, repeats: int = REPEATS) -> float:
        """The median time of some work, warmed up once."""
        times = []
        for _ in range(1 + repeats):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - start)
        return sorted(times[1:])[repeats // 2]

    def forget_peak(self) -> None:
        """The peak begins again from what is held now."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            forget_peak()

    def peak(self) -> float:
        """Bytes held at most since then."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resident_mb("VmHWM") * 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small shapes, on the processor where there is no GPU")
    parser.add_argument("--only", choices=GROUPS, nargs="+", default=GROUPS)
    args = parser.parse_args()
    if not args.small and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here; --small measures small shapes on the processor.")
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    place = Place(device, args.small, 0.0 if args.small else _bandwidth(device))
    print(_about(place), flush=True)
    lines = []
    for line in _lines(place, args.only):
        lines.append(line)
        ratio = "" if line.ratio is None else f", ratio {line.ratio:.2f}"
        print(f"  measured: {line.item}: {line.ours}; {line.peer}{ratio}", flush=True)
    print(show(lines))
    if any(line.met is False for line in lines if line.goal == "all"):
        raise SystemExit(1)


def _about(place: Place) -> str:
    name = torch.cuda.get_device_name(place.device) if place.device.type == "cuda" else "processor"
    speed = f", reads {place.bandwidth / 1e12:.2f} TB/s" if place.bandwidth else ""
    return f"{name}{speed}; torch {torch.__version__}, transformers {transformers.__version__}"


def _lines(place: Place, only: tuple[str, ...]) -> Iterator[Line]:
    if "exact" in only:
        yield from _exact_tiny(place)
    if "computations" in only:
        yield from _computations(place)
    if "split" in only and place.device.type == "cuda":
        yield _exact_split()
    if "demo" in only and embedded.available():
        yield _exact_demo(place)
    for name in SHAPES:
        if name in only:
            yield from _shape(place, name)
            if place.device.type == "cuda":
                torch.cuda.empty_cache()
    if "quantised" in only:
        yield from quantised(place.device, _equal_answers)


# -- exactness -----------------------------------------------------------------------------------------


def _exact_tiny(place: Place) -> Iterator[Line]:
    """Tiny models of several families, float32: every answer against the naive reference on the same device."""
    for kind in ("llama", "mistral", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3", "gpt2", "mixtral"):
        for shared in (True, False):
            pair = moved(tiny.any_pair(kind, shared), place.device)
            found = _equal_answers(pair, tiny.PROMPTS[:3], 20)
            yield _counted(f"tiny {kind}, {'one set of weights' if shared else 'two models'}, {_backend(pair)}", found)


def _computations(place: Place) -> Iterator[Line]:
    """All that is computed on a pair, against the processor."""
    for kind, shared in (("llama", True), ("gemma2", False), ("gpt2", True)):
        found = list(differences(tiny.any_pair(kind, shared), place.device))
        bad = "; ".join(f"{name}: {how}" for name, how in found if how)
        yield Line(
            f"every computation: tiny {kind}, {'one set of weights' if shared else 'two models'}",
            f"{sum(not how for _, how in found)} of {len(found)}{f' ({bad})' if bad else ''}",
            "the processor",
            None,
            "all",
            not bad,
        )


def _exact_split() -> Line:
    """A tiny model whose layers lie on two devices, the GPU and the processor, as `device_map` puts them."""
    with tempfile.TemporaryDirectory() as folder:
        tiny.any_model("llama").save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        spec = ModelSpec(folder)
        where = {"model.embed_tokens": 0, "model.rotary_emb": 0, "model.norm": "cpu", "lm_head": "cpu"}
        where |= {f"model.layers.{i}": 0 if i < tiny.LAYERS - 1 else "cpu" for i in range(tiny.LAYERS)}
        loaded = explorer.load_pair(PairSpec("split", spec, spec, "float32", device_map=where))
        factors = [1 + 0.6 * torch.randn(tiny.NEURONS).to(layer.device) for layer in neuron_layers(loaded.backbone1)]
        pair = Pair(loaded.tokenizer, loaded.backbone1, loaded.backbone1, None, factors, loaded.spec)
        try:
            found = _equal_answers(pair, tiny.PROMPTS[:4], 16)
        except Exception as problem:  # noqa: BLE001 - every kind of failure is a finding
            return Line(
                "exact: layers on two devices", f"{type(problem).__name__}: {problem}"[:300], "", None, "all", False
            )
    return _counted(f"layers on {' and '.join(pair.devices)}, {_backend(pair)}", found)


def _exact_demo(place: Place) -> Line:
    pair = explorer.load_pair("demo", device=str(place.device))
    return _counted(f"the demo pair, float32, {_backend(pair)}", _equal_answers(pair, [PROMPT, *tiny.PROMPTS[:5]], 24))


def _equal_answers(pair: Pair, prompts: list[str], tokens: int) -> list[bool]:
    """Whether each answer, of no, some and all neurons patched, is the naive reference's, alone and in a batch."""
    sets = [NeuronSet.empty(pair), NeuronSet.random(pair, max(1, pair.total_neurons // 20), 1), NeuronSet.all(pair)]
    found = []
    for group in (prompts[:1], prompts):
        out = sweep(pair, group, Columns(sets), Decoding(tokens))
        for number, prompt in enumerate(group):
            ids = pair.encode(prompt)
            found.append(list(out.unpatched[number].token_ids) == naive_greedy(pair, pair.m1, ids, tokens))
            found.append(list(out.aligned[number].token_ids) == naive_greedy(pair, pair.m2, ids, tokens))
            found.append(list(out.patched[0][number].token_ids) == list(out.unpatched[number].token_ids))
            found.append(list(out.patched[1][number].token_ids) == naive_patched(pair, ids, sets[1], tokens))
            if pair.shared:
                found.append(list(out.patched[2][number].token_ids) == list(out.aligned[number].token_ids))
    return found


def _counted(item: str, found: list[bool]) -> Line:
    return Line(f"exact: {item}", f"{sum(found)} of {len(found)} answers", "naive reference", None, "all", all(found))


def _backend(pair: Pair) -> str:
    return backend_of(pair.backbone1).name


# -- speed and memory ----------------------------------------------------------------------------------


def _shape(place: Place, name: str) -> Iterator[Line]:
    place.forget_peak()
    pair = _random_pair(place, name)
    weights = pair.memory_bytes
    ns = NeuronSet.random(pair, pair.total_neurons // 100, 1)
    with never_ending(pair):
        yield from _steps(place, name, pair, ns, weights)
        yield _contrasting(place, name, pair)
        yield _attributing(place, name, pair)
    if place.device.type == "cuda":
        yield _ratio(f"{name}: peak memory, all of it", place.peak(), weights, "GB", 1e-9, "of weights", 1.3)


def _random_pair(place: Place, name: str) -> Pair:
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
        sweep(pair, [PROMPT], Columns([ns]), Decoding(tokens))

    theirs = place.seconds(lambda: written_by_generate(pair.m1, row, TOKENS))
    goal = 0.5 if place.device.type == "cuda" else None
    yield _ratio(f"{name}: three columns of {TOKENS} tokens, {_backend(pair)}", place.seconds(three), theirs, "s", 1,
                 "`generate`, one", goal)  # fmt: skip
    if not place.bandwidth:
        return
    for count in (1, 16):
        prompts = [PROMPT] * count

        def one(tokens: int, prompts: list[str] = prompts) -> None:
            sweep(pair, prompts, Columns([], aligned=False), Decoding(tokens))

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


def _ratio(item: str, ours: float, theirs: float, unit: str, times: float, what: str, goal: float | None) -> Line:
    return Line(
        item,
        f"{ours * times:.2f} {unit}",
        f"{theirs * times:.2f} {unit} {what}",
        ours / theirs,
        f"≤ {goal}" if goal else "",
        ours / theirs <= goal if goal else None,
    )


def _bandwidth(device: torch.device) -> float:
    """Bytes a second that a large read takes: a sum over 4 GiB, best of ten."""
    x = torch.ones(2**31, dtype=torch.bfloat16, device=device)
    times = []
    for _ in range(10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        x.view(torch.int32).max()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return x.numel() * x.element_size() / min(times)


if __name__ == "__main__":
    main()
