"""What neurons add to logits directly, against a recomputation in which all else is held."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from torch import nn

from explorer.engine.reading import TokenText, inputs_of
from explorer.engine.writing import DirectPath, contributions, freeze
from explorer.errors import ExplorerError
from explorer.models.families import FAMILIES, blocks_of, family_of, find
from explorer.models.layers import neuron_layers
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close

WRITERS = [kind for family in FAMILIES if family.layers for kind in family.model_types if kind != "mt5"]
POST_NORM = ("bart", "marian", "plbart", "blenderbot-small")
"""These norm the residual stream behind every block."""
WRITERS = [kind for kind in WRITERS if kind not in POST_NORM]
TEXT = TokenText([40, 41, 42, 43, 44], [50, 51, 52])


def model_of(kind: str):
    """A tiny model whose norms do something."""
    model = tiny.any_model(kind, **({} if kind in tiny.FAMILIES else tiny.ENCODER_DECODER))
    generator = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        if "norm" in name or "ln_" in name:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def by_hand(norm: nn.Module, x: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """A norm of x that divides by what it divides `held` by."""
    if isinstance(norm, nn.LayerNorm):
        spread = held.var(-1, keepdim=True, unbiased=False)
        return (x - x.mean(-1, keepdim=True)) / (spread + norm.eps).sqrt() * norm.weight + norm.bias
    weight = norm.weight + 1 if type(norm).__name__.startswith("Gemma") else norm.weight
    eps = getattr(norm, "eps", None) or norm.variance_epsilon
    return x / (held.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def held_logits(
    model, ns: NeuronSet, change: torch.Tensor, text: TokenText = TEXT
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [positions, vocabulary] of a text, and with the set's activations changed while all else is held.

    Every block adds what it added before, and what the changed neurons write more; every norm divides as before.
    """
    inputs, layers = inputs_of(model, [text]), neuron_layers(model)
    inside, outs, streams = {}, {}, {}
    blocks = blocks_of(model)
    with ExitStack() as held:
        for i, block in enumerate(blocks):
            norm = getattr(block, "post_feedforward_layernorm", None)
            if norm is not None:
                hook = norm.register_forward_pre_hook(lambda _n, args, i=i: inside.__setitem__(i, args[0]))
                held.callback(hook.remove)
            hook = block.register_forward_pre_hook(
                lambda _b, args, kw, i=i: streams.__setitem__(i, args[0] if args else kw["hidden_states"]),
                with_kwargs=True,
            )
            held.callback(hook.remove)
            hook = block.register_forward_hook(
                lambda _b, _a, out, i=i: outs.__setitem__(i, out[0] if isinstance(out, tuple) else out)
            )
            held.callback(hook.remove)
        final = find(model, family_of(model).norm)
        before = []
        held.callback(final.register_forward_pre_hook(lambda _n, args: before.append(args[0])).remove)
        plain = model(**inputs, use_cache=False).logits[0]

    def leave(i, _b, args, kw, out):
        stream = args[0] if args else kw["hidden_states"]
        rows = np.flatnonzero(ns.layers == i)
        more = torch.zeros_like(outs[i])
        if rows.size:
            more[0] = change[rows].T @ layers[i].columns(ns.neurons[rows].tolist())
        if i in inside:
            norm = blocks[i].post_feedforward_layernorm
            more = by_hand(norm, inside[i] + more, inside[i]) - by_hand(norm, inside[i], inside[i])
        new = outs[i] + (stream - streams[i]) + more
        return (new, *out[1:]) if isinstance(out, tuple) else new

    with ExitStack() as held:
        start = len(blocks) - len(find(model, family_of(model).layers))
        for i, block in enumerate(blocks):
            if i >= start:
                hook = block.register_forward_hook(lambda *a, i=i: leave(i, *a), with_kwargs=True)
                held.callback(hook.remove)
        hook = final.register_forward_hook(lambda norm, args, _out: by_hand(norm, args[0], before[0]))
        held.callback(hook.remove)
        return plain, model(**inputs, use_cache=False).logits[0]


@pytest.mark.parametrize("kind", WRITERS)
def test_contributions_add_up_to_what_changes_while_all_else_is_held(kind) -> None:
    model = model_of(kind)
    model.config.final_logit_softcapping = None  # Gemma 2 caps its logits; what is capped is compared
    layers = neuron_layers(model)
    encoder = len(layers) - len(find(model, family_of(model).layers))
    pairs = [(layer, i) for layer in range(encoder, len(layers)) for i in range(0, layers[layer].width, 5)]

    class Like:
        n_layers, n_neurons = len(layers), layers[0].width

    ns = NeuronSet.from_pairs(pairs, Like())
    positions = 1 + len(TEXT.answer) if encoder else len(TEXT)
    change = torch.randn(len(ns), positions, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        plain, changed = held_logits(model, ns, change)
        path, at = DirectPath(model), torch.arange(positions)
        with path.watched(at):
            model(**inputs_of(model, [TEXT]), use_cache=False)
        unembedding = model.get_output_embeddings().weight.float()
        for up, down in ((3, 200), (17, 18)):
            read = path.read_by((unembedding[up] - unembedding[down]).expand(positions, -1))
            added = contributions(model, ns, change.numpy(), read)
            want = (changed - plain)[:, up] - (changed - plain)[:, down]
            assert added.shape == change.shape
            assert_close(added.sum(axis=0), want, layers=tiny.LAYERS, scale=float(changed.abs().max()))


def test_a_norm_of_another_kind_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / x.abs().sum(-1, keepdim=True)

    with pytest.raises(ExplorerError, match="Odd is neither a layer norm nor an RMS norm"):
        freeze(Odd(), torch.randn(4, 8))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2"])
def test_norms_are_frozen_in_half_precision(kind, dtype) -> None:
    model = model_of(kind).to(dtype)
    norm = find(model, family_of(model).norm)
    x = torch.randn(6, 16, generator=torch.Generator().manual_seed(1)).to(dtype)
    frozen = freeze(norm, x)
    bias = norm.bias.float() if isinstance(norm, nn.LayerNorm) else 0
    assert_close(frozen.through(x.float()) + bias, norm(x), dtype, layers=1)


def test_what_writes_no_words_is_refused() -> None:
    with pytest.raises(ExplorerError, match="classifier"):
        DirectPath(tiny.any_model("bert"))
    with pytest.raises(ExplorerError, match="no neuron writes to the logits directly"):
        DirectPath(tiny.any_model("opt", do_layer_norm_before=False))
    with pytest.raises(ExplorerError, match="no neuron writes to the logits directly"):
        DirectPath(tiny.any_model("bart"))
