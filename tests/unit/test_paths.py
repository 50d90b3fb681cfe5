"""Parts of the model kept at M1's while a set is patched: against recomputations without hooks, on every family."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn import functional

from explorer.engine.head_patterns import COLUMNS, head_patterns
from explorer.engine.heads import head_losses
from explorer.engine.keeping import PATHS, KeepingRows, KeptColumn
from explorer.engine.keeping_answers import answers_with_kept
from explorer.engine.patching import generate
from explorer.engine.paths import path_margins, read_guide
from explorer.engine.reading import TokenText, inputs_of
from explorer.engine.reference import naive_activations
from explorer.engine.token_margin import TokenMargin
from explorer.errors import ExplorerError
from explorer.models.attention import AttentionVisit, attention_hooks
from explorer.models.families import blocks_of, family_of, final_norm, find
from explorer.models.hooks import neuron_hooks
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair
from explorer.neurons.sets import NeuronSet
from explorer.studies.path_parts import ALL, ATTENTION, CHOICES, SUMMANDS, parts_of
from tests import tiny
from tests.close import assert_close

MARGIN = TokenMargin(np.array([5, 9, 40]), np.array([1.0, -0.5, -0.5]))
PROMPTS = tiny.PROMPTS[:3]
DECODERS = [kind for kind in tiny.WRITERS if kind not in ("falcon", *tiny.ENCODER_DECODERS)]
PAIRS = [*DECODERS, "llama twice", "gemma2 twice", "qwen2_moe twice"]
SIZE = 2 * tiny.LAYERS
"""What errors are relative to: attention and MLP of each layer add to them."""


def some_pair(name: str) -> Pair:
    return tiny.any_pair(name.removesuffix(" twice"), shared=not name.endswith("twice"))


def some_neurons(pair: Pair) -> NeuronSet:
    return NeuronSet.random(pair, pair.total_neurons // 6, seed=0)


def encoded(pair: Pair) -> list[list[int]]:
    return [pair.encode(prompt) for prompt in PROMPTS]


def margin_of(logits: torch.Tensor) -> float:
    return float(MARGIN.of(logits).double())


@pytest.mark.parametrize("name", PAIRS)
def test_every_part_is_what_it_says(name):
    pair = some_pair(name)
    ns, ids = some_neurons(pair), encoded(pair)
    nothing = NeuronSet(ns.layers[:0], ns.neurons[:0], pair.n_layers, pair.n_neurons)
    columns = [*(KeptColumn(ns, kept) for kept in CHOICES), *(KeptColumn(nothing, kept) for kept in CHOICES)]
    found = path_margins(pair, ids, MARGIN, columns)
    scale = float(np.abs(found).max())
    with torch.inference_mode():
        plain = [[margin_of(m(torch.tensor([i])).logits[0, -1]) for i in ids] for m in (pair.m1, pair.m2)]
        patched = [_patched(pair, i, ns) for i in ids]
        direct = [_frozen(pair, i, ns) for i in ids]
    assert_close(found[:2], plain, layers=SIZE, scale=scale)
    assert_close(found[2], patched, layers=SIZE, scale=scale)
    assert_close(found[1 + len(CHOICES)], direct, layers=SIZE, scale=scale)
    for unchanged in found[2 + len(CHOICES) :]:  # nothing patched is M1, whatever is kept
        assert_close(unchanged, found[0], layers=SIZE, scale=scale)
    changes = {kept: found[2 + i] - found[0] for i, kept in enumerate(CHOICES)}
    assert np.ptp([changes[kept] for kept in CHOICES], axis=0).min() > 1e-3 * scale
    parts = parts_of(changes)
    assert np.allclose(sum(parts[part] for part in SUMMANDS), parts["whole"], rtol=1e-4, atol=1e-9)
    # every head kept is the attention output kept
    with torch.inference_mode():
        kept = [_heads_kept(pair, i, ns, lambda _layer, _head: True) for i in ids]
    assert_close(found[2 + CHOICES.index(ATTENTION)], kept, layers=SIZE, scale=scale)


@pytest.mark.parametrize("name", PAIRS)
def test_single_heads_equal_whole_passes(name):
    pair = some_pair(name)
    ns, ids = some_neurons(pair), encoded(pair)
    lost = head_losses(pair, ids, MARGIN, ns)
    first = int(ns.layers.min())
    assert lost.shape == (tiny.LAYERS, 2, len(ids))
    assert (lost[: first + 1] == 0).all()
    with torch.inference_mode():
        for number, prompt in enumerate(ids):
            patched = _patched(pair, prompt, ns)
            for layer in range(first + 1, tiny.LAYERS):
                for head in range(2):
                    kept = _heads_kept(pair, prompt, ns, lambda a, b, c=(layer, head): (a, b) == c)
                    assert_close(lost[layer, head, number], patched - kept, layers=SIZE, scale=abs(patched) + abs(kept))
    plain = path_margins(pair, ids, MARGIN, [KeptColumn(ns)])  # the model is as it was
    assert_close(plain[0, 0], margin_of(pair.m1(torch.tensor([ids[0]])).logits[0, -1]), layers=SIZE)


@pytest.mark.parametrize("kept", CHOICES, ids=lambda kept: "+".join(sorted(kept)) or "nothing")
def test_margins_equal_a_forward_written_out(kept):
    pair = tiny.any_pair("llama")
    ns, ids = some_neurons(pair), encoded(pair)
    found = path_margins(pair, ids, MARGIN, [KeptColumn(ns, kept)])
    with torch.inference_mode():
        for number, prompt in enumerate(ids):
            written = _Llama(pair, prompt)
            own = written.run()
            second = written.run(factors=pair.scale2)
            changed = written.run(own, second, ns, kept)
            wanted = [own.margin, second.margin, changed.margin]
            assert_close(found[:, number], wanted, layers=SIZE, scale=np.abs(wanted).max())


@pytest.mark.parametrize("name", ["llama", "llama twice", "mistral", "gemma2", "gpt2", "opt", "qwen2_moe"])
def test_answers_equal_the_naive_form(name):
    short_windows = name in ("mistral", "gemma2")
    pair = tiny.shared_pair(name) if short_windows else some_pair(name)
    ns, new = some_neurons(pair), 5
    columns = [KeptColumn(ns, kept) for kept in (frozenset(), frozenset({"patterns"}), ATTENTION, ALL)]
    found = answers_with_kept(pair, PROMPTS, columns, new)
    assert [a.token_ids for a in found[0]] == [a.token_ids for a in generate(pair, PROMPTS, ns, new).patched]
    if name == "llama":
        assert found[0] != found[3]
    for column, answers in zip(columns, found, strict=True):
        for prompt, answer in zip(encoded(pair), answers, strict=True):
            assert answer.token_ids == _naive_answer(pair, prompt, column, new)


@pytest.mark.parametrize("name", ["llama", "gemma2 twice", "gpt2"])
def test_patterns_of_heads_are_the_models_own(name):
    pair, prompt = some_pair(name), PROMPTS[0]
    ns, ids = some_neurons(pair), pair.encode(prompt)
    heads = [(0, 1), (2, 0)]
    found = head_patterns(pair, ids, ns, heads)
    assert list(found) == list(COLUMNS)
    for column, model in (("unpatched", pair.m1), ("aligned", pair.m2)):
        model.set_attn_implementation("eager")
        with torch.inference_mode():
            seen = model(torch.tensor([ids]), output_attentions=True).attentions
        assert_close(found[column], np.stack([seen[a][0, b, -1].numpy() for a, b in heads]), layers=SIZE)
    assert not np.allclose(found["patched"], found["unpatched"])


@pytest.mark.parametrize(
    ("kind", "words"), [("falcon", "attention interface"), ("t5", "kind encoder-decoder"), ("bert", "kind encoder")]
)
def test_what_cannot_be_kept_is_refused_in_one_sentence(kind, words):
    pair = tiny.any_pair(kind)
    ns = some_neurons(pair)
    for ask in (
        lambda: path_margins(pair, [[1, 2]], MARGIN, [KeptColumn(ns)]),
        lambda: head_losses(pair, [[1, 2]], MARGIN, ns),
        lambda: answers_with_kept(pair, ["Hi"], [KeptColumn(ns)], 2),
        lambda: head_patterns(pair, [1, 2], ns, [(0, 0)]),
    ):
        with pytest.raises(ExplorerError, match=words):
            ask()


def test_a_failed_visit_leaves_the_model_as_it_was():
    pair = tiny.any_pair("llama")
    model = pair.backbone1
    before, ids = model.config._attn_implementation, torch.tensor([[1, 2, 3]])
    wanted = model(ids).logits

    class Failing(AttentionVisit):
        def values(self, layer: int, values: torch.Tensor) -> torch.Tensor:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), attention_hooks(model, Failing()):
        model(ids)
    assert model.config._attn_implementation == before
    assert torch.equal(model(ids).logits, wanted)


def test_the_names_of_paths_are_one():
    assert frozenset(PATHS) == ALL


# -- recomputations ------------------------------------------------------------------------------------


def _patched(pair: Pair, ids: list[int], ns: NeuronSet) -> float:
    """The margin of M1 with M2's activations at the set, by neuron hooks alone."""
    source, mask = naive_activations(pair.m2, ids), torch.from_numpy(ns.mask())
    with neuron_hooks(pair.m1, lambda layer, h: torch.where(mask[layer], source[layer].to(h), h)):
        return margin_of(pair.m1(torch.tensor([ids])).logits[0, -1])


def _frozen(pair: Pair, ids: list[int], ns: NeuronSet) -> float:
    """The margin when M1's residual stream gets what the patched neurons write differently, and nothing reacts."""
    m1, states = pair.m1, []
    handle = find(m1, family_of(m1).norm).register_forward_pre_hook(lambda _module, args: states.append(args[0][0, -1]))
    first, second = naive_activations(m1, ids), naive_activations(pair.m2, ids)
    handle.remove()
    stream, mask = states[0], torch.from_numpy(ns.mask())
    for layer, (block, neurons) in enumerate(zip(blocks_of(m1), neuron_layers(m1), strict=True)):
        columns = neurons.columns(range(neurons.width))
        own = first[layer][-1]
        after = torch.where(mask[layer], second[layer][-1], own)
        norm = getattr(block, "post_feedforward_layernorm", None)
        stream = stream + ((after - own) @ columns if norm is None else norm(after @ columns) - norm(own @ columns))
    logits = m1.get_output_embeddings()(final_norm(m1)(stream))
    cap = getattr(m1.config, "final_logit_softcapping", None)
    return margin_of(logits if cap is None else cap * torch.tanh(logits / cap))


def _heads_kept(pair: Pair, ids: list[int], ns: NeuronSet, is_kept) -> float:
    """The margin of patched M1 with the outputs of some heads replaced by M1's, over whole passes."""
    m1, source, mask = pair.m1, naive_activations(pair.m2, ids), torch.from_numpy(ns.mask())
    own: list[torch.Tensor] = []

    class Record(AttentionVisit):
        def outputs(self, layer: int, outputs: torch.Tensor) -> torch.Tensor:
            own.append(outputs.clone())
            return outputs

    class Keep(AttentionVisit):
        def outputs(self, layer: int, outputs: torch.Tensor) -> torch.Tensor:
            outputs = outputs.clone()
            for head in range(outputs.shape[2]):
                if is_kept(layer, head):
                    outputs[:, :, head] = own[layer][:, :, head]
            return outputs

    with attention_hooks(m1, Record()):
        m1(torch.tensor([ids]), use_cache=False)
    with (
        neuron_hooks(m1, lambda layer, h: torch.where(mask[layer], source[layer].to(h), h)),
        attention_hooks(m1, Keep()),
    ):
        return margin_of(m1(torch.tensor([ids]), use_cache=False).logits[0, -1])


def _naive_answer(pair: Pair, ids: list[int], column: KeptColumn, limit: int) -> tuple[int, ...]:
    """No cache, no batch, no padding: at each step M2, M1 and patched M1 read the whole current text."""
    answer: list[int] = []
    rows = KeepingRows(pair, [column])
    rows.follow(1, [(0, 0)])
    while len(answer) < limit:
        text = TokenText(ids, answer)
        with torch.inference_mode():
            rows.guide, _ = read_guide(pair, [text], rows.used)
            with neuron_hooks(pair.backbone1, rows.neurons), attention_hooks(pair.backbone1, rows):
                logits = pair.backbone1(**inputs_of(pair.backbone1, [text, text]), use_cache=False).logits
        answer.append(int(logits[1, -1].argmax()))
        if answer[-1] in pair.stop_ids:
            break
    return tuple(answer)


class _Llama:
    """A Llama written out over its weights: no hook, no attention function of transformers."""

    def __init__(self, pair: Pair, ids: Sequence[int]) -> None:
        self.model, self.config, self.ids = pair.backbone1, pair.backbone1.config, torch.tensor(ids)

    def run(self, own=None, second=None, ns=None, kept=frozenset(), factors=None) -> "_Llama":
        """M1; with factors M2; else M1 with `second`'s activations at a set and some of its `own` kept."""
        out, config = _Llama.__new__(_Llama), self.config
        out.patterns, out.values, out.neurons = [], [], []
        size = config.hidden_size // config.num_attention_heads
        groups = config.num_attention_heads // config.num_key_value_heads
        x = self.model.model.embed_tokens.weight[self.ids]
        causal = torch.ones(len(x), len(x)).tril().bool()
        for layer, block in enumerate(self.model.model.layers):
            a = block.self_attn
            y = self._norm(x, block.input_layernorm)
            q, k, v = (functional.linear(y, p.weight).view(len(x), -1, size) for p in (a.q_proj, a.k_proj, a.v_proj))
            q, k = (self._rotated(t, size) for t in (q, k))
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
            scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(size)
            pattern = scores.masked_fill(~causal, -torch.inf).softmax(-1)
            pattern = own.patterns[layer] if "patterns" in kept else pattern
            v = own.values[layer] if "values" in kept else v
            x = x + functional.linear(torch.einsum("hqk,khd->qhd", pattern, v).flatten(1), a.o_proj.weight)
            y, mlp = self._norm(x, block.post_attention_layernorm), block.mlp
            h = functional.silu(functional.linear(y, mlp.gate_proj.weight)) * functional.linear(y, mlp.up_proj.weight)
            h = h if factors is None else h * factors[layer]
            h = own.neurons[layer] if "mlps" in kept else h
            if ns is not None:
                h = torch.where(torch.from_numpy(ns.mask()[layer]), second.neurons[layer], h)
            for place, value in ((out.patterns, pattern), (out.values, v), (out.neurons, h)):
                place.append(value)
            x = x + functional.linear(h, mlp.down_proj.weight)
        logits = functional.linear(self._norm(x[-1], self.model.model.norm), self.model.lm_head.weight)
        out.margin = margin_of(logits)
        return out

    def _norm(self, x: torch.Tensor, norm) -> torch.Tensor:
        return norm.weight * x / (x.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps).sqrt()

    def _rotated(self, t: torch.Tensor, size: int) -> torch.Tensor:
        base = self.config.rope_parameters["rope_theta"]
        angles = torch.outer(torch.arange(len(t)).float(), base ** (-torch.arange(0, size, 2).float() / size))
        cos, sin = (f(angles)[:, None].repeat(1, 1, 2) for f in (torch.cos, torch.sin))
        return t * cos + torch.cat([-t[..., size // 2 :], t[..., : size // 2]], -1) * sin
