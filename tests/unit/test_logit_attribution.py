"""Direct logit attribution against a forward pass in which all else is held, and what its parts add up to."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from torch import nn

from explorer.engine.logit_attribution import attribute_margin
from explorer.engine.reading import TokenText, inputs_of
from explorer.engine.readout import Readout
from explorer.engine.reference import naive_activations
from explorer.engine.residuals import last_prompt_residuals
from explorer.engine.token_margin import TokenMargin
from explorer.errors import ExplorerError
from explorer.models.families import family_of, find
from explorer.models.hooks import neuron_hooks
from explorer.models.layers import neuron_layers
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

KINDS = [kind for kind in tiny.WRITERS if kind != "bart"]  # norms its stream, refused: test_writing.py
PROMPTS = tiny.PROMPTS[:3]
MARGIN = TokenMargin(np.array([5, 40, 90, 200]), np.array([0.75, 0.25, -0.5, -0.5]))
ATTENTION = {
    "gpt2": ("attn",),
    "gpt_neox": ("attention",),
    "falcon": ("self_attention",),
    "mbart": ("self_attn", "encoder_attn"),
    "t5": ("layer.0.SelfAttention", "layer.1.EncDecAttention"),
}
NORMS = ("post_feedforward_layernorm",)


def held(norm, x0):
    """The norm as a linear map that divides by what it does at x0, from its own result there."""
    if isinstance(norm, nn.LayerNorm):
        spread = (x0.var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
        return lambda x: (x - x.mean(dim=-1, keepdim=True)) / spread * norm.weight + norm.bias
    ratio = norm.forward(x0).double() / x0.double()
    return lambda x: (ratio * x.double()).to(x)


def logits_with(model, ids, neurons, hooks):
    """float32 [vocabulary] at the last position, as the unembedding gives them."""
    got = []
    with torch.inference_mode(), ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_hook(hook).remove)
        unembedding = model.get_output_embeddings()
        stack.callback(unembedding.register_forward_hook(lambda _m, _a, out: got.append(out[0, -1])).remove)
        stack.enter_context(neuron_hooks(model, neurons))
        model(**inputs_of(model, [TokenText(ids)]), use_cache=False)
    return got[0]


def all_else_held(pair, ids, ns):
    """By how much patching raises the margin while attention, other neurons and every norm's scale stay as patched."""
    m1, mask = pair.m1, torch.from_numpy(ns.mask())
    family = family_of(m1)
    first, second = naive_activations(m1, ids), naive_activations(pair.m2, ids)
    blocks = find(m1, family.layers)
    attention = [find(b, path) for b in blocks for path in ATTENTION.get(m1.config.model_type, ("self_attn",))]
    norms = [getattr(b, name) for b in blocks for name in NORMS if hasattr(b, name)] + [find(m1, family.norm)]
    kept, inputs = {}, {}

    def keep(module, _args, out):
        kept[module] = out[0].clone()

    def keep_input(module, args, _out):
        inputs[module] = args[0].clone()

    seen = []

    def patch(layer, h):
        seen.append(torch.where(mask[layer], second[layer], h))
        return seen[-1]

    hooks = [(module, keep) for module in attention] + [(norm, keep_input) for norm in norms]
    patched = logits_with(m1, ids, patch, hooks)

    def without(layer, h):
        if layer not in pair.parts["decoder"]:
            return seen[layer]
        return torch.where(mask[layer], first[layer], seen[layer][0])[None]

    hooks = [(module, lambda module, _args, out: (kept[module], *out[1:])) for module in attention]
    hooks += [(norm, lambda norm, args, _out: held(norm, inputs[norm])(args[0])) for norm in norms]
    return float(MARGIN.of(patched) - MARGIN.of(logits_with(m1, ids, without, hooks)))


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "lockstep"])
@pytest.mark.parametrize("kind", KINDS)
def test_direct_is_the_change_of_logits_while_all_else_is_held(kind, shared):
    pair = tiny.any_pair(kind, shared)
    ns = NeuronSet.random(pair, 40, seed=1)
    ids = [pair.encode(prompt) for prompt in PROMPTS]
    found = attribute_margin(pair, ids, MARGIN, [ns])
    wanted = [all_else_held(pair, prompt, ns) for prompt in ids]
    assert np.abs(wanted).min() > 0
    assert_close(found.direct[0].sum(axis=0), wanted, layers=pair.n_layers, scale=np.abs(found.before).max())
    by_layer = [found.by_neuron[0][ns.layers == layer].sum(axis=0) for layer in found.layers]
    assert_close(by_layer, found.direct[0])


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "lockstep"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_add_up_to_the_change_of_the_models_own_logits(kind, shared):
    pair = tiny.any_pair(kind, shared)
    everything = NeuronSet.random(pair, pair.total_neurons, seed=0)
    sets = [NeuronSet.random(pair, 40, seed=1), everything]
    ids = [pair.encode(prompt) for prompt in PROMPTS]
    found = attribute_margin(pair, ids, MARGIN, sets)
    whole = (found.direct + found.neurons + found.attention).sum(axis=1) + found.embedding + found.readout
    assert_close(whole, found.total, layers=pair.n_layers)
    for number, prompt in enumerate(ids):
        first, second = (logits_with(m, prompt, lambda _l, _h: None, []) for m in (pair.m1, pair.m2))
        margins = [float(MARGIN.of(logits)) for logits in (first, second)]
        assert_close(found.before[number], margins[0], layers=pair.n_layers, scale=10)
        assert_close(found.total[2, number], margins[1] - margins[0], layers=pair.n_layers, scale=10)
    if shared:
        assert not found.embedding.any()
        assert_close(found.total[1], found.total[2], layers=pair.n_layers)
        both = found.direct + found.neurons  # a norm of the MLP's output divides by something else in M2
        assert_close(both[1], both[2], layers=pair.n_layers, scale=np.abs(both).max())


def test_attention_is_what_attention_modules_write():
    pair = tiny.any_pair("llama")
    ids, ns = pair.encode("Hi"), NeuronSet.random(pair, 40, seed=1)
    found = attribute_margin(pair, [ids], MARGIN, [ns])
    out = {}
    for name, model in (("m1", pair.m1), ("m2", pair.m2)):
        kept = out.setdefault(name, [])
        hooks = [(b.self_attn, lambda _m, _a, o, kept=kept: kept.append(o[0][0, -1])) for b in model.model.layers]
        logits_with(model, ids, lambda _l, _h: None, hooks)
    last = torch.from_numpy(last_prompt_residuals(pair, [ids])[1, -1, 0])
    gain = pair.m2.model.norm.weight / (last.square().mean() + pair.m2.model.norm.variance_epsilon).sqrt()
    read = gain * MARGIN.direction(pair.m2.lm_head.weight)
    wanted = [float((b - a) @ read) for a, b in zip(out["m1"], out["m2"], strict=True)]
    assert_close(found.attention[1][:, 0], wanted, layers=3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_lens_at_the_last_layer_is_the_models_margin(kind):
    pair = tiny.any_pair(kind)
    ids = pair.encode("Why?")
    residual = torch.from_numpy(last_prompt_residuals(pair, [ids])[0, -1])
    logits = logits_with(pair.m1, ids, lambda _l, _h: None, [])
    assert_close(Readout(pair.backbone1, MARGIN).margins(residual)[0], MARGIN.of(logits), layers=3, scale=10)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mixtral", "qwen2_moe", "gpt_neox"])
def test_a_layer_writes_its_columns(kind):
    layer = neuron_layers(tiny.any_model(kind))[1]
    h = torch.rand(2, layer.width) * (torch.arange(layer.width) % 3 == 0)
    with torch.inference_mode():
        got = layer.write(h) - layer.write(torch.zeros_like(h))
        assert_close(got, h @ layer.columns(range(layer.width)))


def test_nothing_patched_changes_nothing():
    pair = tiny.shared_pair()
    nothing = NeuronSet(np.zeros(0, np.int64), np.zeros(0, np.int64), pair.n_layers, pair.n_neurons)
    found = attribute_margin(pair, [pair.encode("Hi")], MARGIN, [nothing])
    for part in (found.total, found.direct, found.neurons, found.attention, found.readout):
        assert_close(part[0], np.zeros_like(part[0]), scale=1.0)


def test_a_classifier_and_a_normed_stream_are_one_sentence():
    with pytest.raises(ExplorerError, match="classifier"):
        attribute_margin(tiny.any_pair("bert"), [[1, 2]], MARGIN, [])
