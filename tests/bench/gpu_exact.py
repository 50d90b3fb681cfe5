"""Exactness on a device: every answer against the naive reference, and every computation against the processor."""

import tempfile
from collections.abc import Iterator

import torch

import explorer
from explorer.engine.backends.choosing import backend_of
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reference import naive_greedy, naive_patched
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.neurons.sets import NeuronSet
from tests import tiny, zoo
from tests.bench.gpu_place import Place
from tests.bench.measure import Line
from tests.bench.on_device import differences, moved


def exact_tiny(place: Place) -> Iterator[Line]:
    """Tiny models of several families, float32: every answer against the naive reference on the same device."""
    for kind in ("llama", "mistral", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3", "gpt2", "mixtral"):
        for shared in (True, False):
            pair = moved(tiny.any_pair(kind, shared), place.device)
            found = equal_answers(pair, tiny.PROMPTS[:3], 20)
            yield _counted(f"tiny {kind}, {'one set of weights' if shared else 'two models'}, {_backend(pair)}", found)


def computations(place: Place) -> Iterator[Line]:
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


def exact_split() -> Line:
    """A tiny model whose layers lie on two GPUs, as `device_map` puts them."""
    if torch.cuda.device_count() < 2:
        return Line("exact: layers on two GPUs", "", "there is one", None, "", None)
    with tempfile.TemporaryDirectory() as folder:
        tiny.any_model("llama").save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
        spec = ModelSpec(folder)
        where = {"model.embed_tokens": 0, "model.rotary_emb": 0, "model.norm": 1, "lm_head": 1}
        where |= {f"model.layers.{i}": 0 if i < tiny.LAYERS - 1 else 1 for i in range(tiny.LAYERS)}
        loaded = explorer.load_pair(PairSpec("split", spec, spec, "float32", device_map=where))
        pair = with_factors(loaded)
        return _counted(
            f"layers on {' and '.join(pair.devices)}, {_backend(pair)}", equal_answers(pair, tiny.PROMPTS[:4], 16)
        )


def with_factors(loaded: Pair, spread: float = 0.6) -> Pair:
    """A pair of one set of weights, with (IA)³ factors of so much spread between M1 and M2."""
    generator = torch.Generator().manual_seed(1)
    layers = neuron_layers(loaded.backbone1)
    factors = [(1 + spread * torch.randn(layer.width, generator=generator)).to(layer.device) for layer in layers]
    return Pair(loaded.tokenizer, loaded.backbone1, loaded.backbone1, None, factors, loaded.spec)


def exact_loaded(place: Place) -> Iterator[Line]:
    """Tiny models with one key and value head, which only transformers' forward reads, as `load_pair` loads them."""
    for kind in ("olmo2", "falcon", "gpt_bigcode"):
        with tempfile.TemporaryDirectory() as folder:
            model = zoo.tiny_model(kind) if kind == "gpt_bigcode" else tiny.any_model(kind)
            model.save_pretrained(folder)
            tiny.tokenizer().save_pretrained(folder)
            spec = ModelSpec(folder)
            pair = with_factors(explorer.load_pair(PairSpec(kind, spec, spec, "float32", device=str(place.device))))
            yield _counted(f"{kind}, one key and value head, loaded", equal_answers(pair, tiny.PROMPTS[:4], 16))


def exact_demo(place: Place) -> Line:
    pair = explorer.load_pair("demo", device=str(place.device))
    return _counted(f"the demo pair, float32, {_backend(pair)}", equal_answers(pair, tiny.PROMPTS[:6], 24))


def equal_answers(pair: Pair, prompts: list[str], tokens: int) -> list[bool]:
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
