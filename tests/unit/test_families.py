"""Every family in the table: what is hooked are its neurons, patching changes them alone, caches change nothing."""

import numpy as np
import pytest
import torch
from torch import nn

from explorer.engine.contrast import contrast, contrast_sums, scores_of
from explorer.engine.given_text import last_prompt_activations
from explorer.engine.inspect import project, read_words
from explorer.engine.options import COMPARED, Columns, Comparison, Decoding
from explorer.engine.patching import generate, sweep
from explorer.engine.reading import TokenText, inputs_of
from explorer.engine.reference import naive_greedy, naive_patched
from explorer.engine.sums import Sums
from explorer.errors import ExplorerError
from explorer.models.families import FAMILIES, down_projections, family_named, family_of, final_norm, find
from explorer.models.hooks import neuron_hooks
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair
from explorer.neurons.sets import NeuronSet
from explorer.neurons.tables import expert_name, neuron_table
from tests import tiny
from tests.close import assert_close
from tests.unit.test_patching import first_step

NEW = 6
PROMPTS = tiny.PROMPTS[:3]
CLASSIFIERS = [kind for kind in tiny.FAMILIES if family_named(kind).kind == "encoder"]
WRITERS = [kind for kind in tiny.FAMILIES if kind not in CLASSIFIERS]
LIKE = {"mt5": "t5", "camembert": "roberta", "xlm-roberta": "roberta"} | dict.fromkeys(
    ("marian", "plbart", "blenderbot-small"), "bart"
)
LIKE |= dict.fromkeys(("pegasus", "m2m_100", "blenderbot"), "mbart")
"""Types that are another one with another tokeniser, other sizes, or another norm in the blocks."""

LOCKSTEP = ("gpt2", "opt", "qwen2_moe", "t5", "bart")
"""Types that are tested as two models as well: one of each way in which neurons are reached."""


@pytest.fixture(scope="module", params=[*WRITERS, *(f"{kind} twice" for kind in LOCKSTEP)])
def pair(request):
    kind, _, twice = request.param.partition(" ")
    return tiny.any_pair(kind, shared=not twice)


def test_every_family_in_the_table_is_tested():
    named = {kind for family in FAMILIES for kind in family.model_types}
    assert named - set(tiny.FAMILIES) == set(LIKE)
    assert all(family_named(kind).kind == family_named(like).kind for kind, like in LIKE.items())


# -- the same numbers without hooks ----------------------------------------------------------------


def gated(mlp: nn.Module, x: torch.Tensor) -> torch.Tensor:
    act = getattr(mlp, "act_fn", None) or mlp.activation_fn
    if hasattr(mlp, "gate_up_proj"):
        gate, up = mlp.gate_up_proj(x).chunk(2, dim=-1)
        return act(gate) * up
    return act(mlp.gate_proj(x)) * mlp.up_proj(x)


def routed(mlp: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Token by token, expert by expert, from the definition."""
    rows = []
    for token in x.flatten(0, -2):
        _, weights, chosen = mlp.gate(token[None])
        experts = torch.zeros(mlp.experts.num_experts, mlp.experts.down_proj.shape[2])
        for weight, e in zip(weights[0], chosen[0].tolist(), strict=True):
            gate, up = (mlp.experts.gate_up_proj[e] @ token).chunk(2)
            experts[e] = weight * mlp.experts.act_fn(gate) * up
        parts = [experts.flatten()]
        if hasattr(mlp, "shared_expert"):
            parts.append(torch.sigmoid(mlp.shared_expert_gate(token)) * gated(mlp.shared_expert, token))
        rows.append(torch.cat(parts))
    return torch.stack(rows).view(*x.shape[:-1], -1)


RECIPES = {  # which module's input the neurons are computed from, and how
    "gpt2": ("mlp", lambda m, x: m.act(m.c_fc(x))),
    "gpt_neox": ("mlp", lambda m, x: m.act(m.dense_h_to_4h(x))),
    "falcon": ("mlp", lambda m, x: m.act(m.dense_h_to_4h(x))),
    "opt": ("fc1", lambda m, x: torch.relu(m(x))),
    **dict.fromkeys(("bart", "mbart"), ("fc1", lambda m, x: nn.functional.gelu(m(x)))),
    **dict.fromkeys(
        ("bert", "roberta", "electra", "deberta-v2"),
        ("intermediate", lambda m, x: nn.functional.gelu(m.dense(x))),
    ),
    "distilbert": ("ffn.lin1", lambda m, x: nn.functional.gelu(m(x))),
    "modernbert": ("mlp", lambda m, x: m.act(m.Wi(x).chunk(2, dim=-1)[0]) * m.Wi(x).chunk(2, dim=-1)[1]),
    "t5": ("layer.-1.DenseReluDense", lambda m, x: m.act(m.wi_0(x)) * m.wi_1(x)),
    **dict.fromkeys(("mixtral", "qwen2_moe", "qwen3_moe"), ("mlp", routed)),
}


class Spy(nn.Module):
    """A module that keeps what it was given, and what its neurons are by their definition."""

    def __init__(self, inner: nn.Module, recipe, seen: list) -> None:
        super().__init__()
        self.inner, self.recipe, self.seen = inner, recipe, seen

    def forward(self, x, *args):
        self.seen.append(self.recipe(self.inner, x).reshape(-1, self.width))
        return self.inner(x, *args)


def hook_free(kind: str, seed: int, perturb: torch.Generator | None, text: TokenText, scale) -> list[torch.Tensor]:
    """[positions, n_neurons] of every layer, by modules put in place of the model's own; M2's are scaled by hand.

    A scaled layer changes what the next one reads, so the scale is put into the weights that the neurons go through.
    """
    model = tiny.any_model(kind, seed)
    if perturb is not None:
        for parameter in model.parameters():
            parameter.data += 0.15 * torch.randn(parameter.shape, generator=perturb)
    path, recipe = RECIPES.get(kind, ("mlp", gated))
    family, seen, width = family_of(model), [], neuron_layers(model)[0].width
    blocks = [b for place in (family.encoder_layers, family.layers) if place for b in find(model, place)]
    for number, block in enumerate(blocks):
        if scale is not None:
            scale_columns(kind, block, scale[number])
        parent, _, name = path.rpartition(".")
        spy = Spy(find(block, path), recipe, seen)
        spy.width = width
        setattr(find(block, parent), name, spy)
    with torch.inference_mode():
        model(**inputs_of(model, [text]))
    return [h if scale is None else h * scale[n] for n, h in enumerate(seen)]


def scale_columns(kind: str, block: nn.Module, factors: torch.Tensor) -> None:
    family = next(f for f in FAMILIES if kind in f.model_types)
    down = find(block, family.down_proj)
    if family.experts:
        n, _, width = down.experts.down_proj.shape
        down.experts.down_proj.data *= factors[: n * width].view(n, 1, width)
        if hasattr(down, "shared_expert"):
            down.shared_expert.down_proj.weight.data *= factors[n * width :]
    elif kind == "gpt2":
        down.weight.data *= factors[:, None]
    else:
        down.weight.data *= factors


def compared(pair, positions: str, layer: int, t: int, m: int) -> slice:
    """The positions that count for a layer, spelt out (t: the prompt's length, m: the answer's)."""
    if pair.kind == "encoder-decoder":
        if layer in pair.parts["encoder"]:
            return slice(t - 1, t) if positions == "last_prompt" else slice(0, t)
        return {"paper": slice(0, m), "shifted": slice(1, m + 1)}.get(positions, slice(0, 1))
    return {
        "paper": slice(t - 1, t + m - 1),
        "shifted": slice(t, t + m),
        "prompt": slice(0, t),
        "last_prompt": slice(t - 1, t),
    }[positions]


def test_contrast_equals_a_hook_free_recomputation(pair):
    kind = pair.spec.name.split()[1]
    read = []
    for prompt, answer in zip(
        PROMPTS, sweep(pair, PROMPTS, Columns(aligned=False), Decoding(NEW)).unpatched, strict=True
    ):
        text = TokenText(pair.encode(prompt), answer.token_ids)
        perturb = None if pair.shared else torch.Generator().manual_seed(300)
        a1, a2 = hook_free(kind, 0, None, text, None), hook_free(kind, 0, perturb, text, pair.scale2)
        read.append((len(text.prompt), len(text.answer), a1, a2))
    for positions in COMPARED:
        got = contrast(pair, PROMPTS, NEW, positions=positions, batch_size=2)
        for layer in range(pair.n_layers):
            parts = [(a1[layer] - a2[layer])[compared(pair, positions, layer, t, m)] for t, m, a1, a2 in read]
            d = torch.cat(parts).double().numpy()
            size = max(float(a[layer].abs().max()) for _, _, *both in read for a in both)
            assert_close(got.scores[layer], np.sqrt((d * d).mean(axis=0)), layers=pair.n_layers, scale=size)
        assert got.count == len(d)


# -- patching --------------------------------------------------------------------------------------


def test_unpatched_and_aligned_equal_hf_generate(pair):
    out = sweep(pair, PROMPTS, Columns(), Decoding(NEW))
    for prompt, *columns in zip(PROMPTS, out.unpatched, out.aligned, strict=True):
        ids = pair.encode(prompt)
        for model, answer in zip((pair.m1, pair.m2), columns, strict=True):
            made = model.generate(torch.tensor([ids]), max_new_tokens=NEW, do_sample=False, pad_token_id=258)[0]
            skip = 1 if pair.kind == "encoder-decoder" else len(ids)
            assert answer.token_ids == tuple(made[skip:].tolist())
    ids = pair.encode(PROMPTS[0])
    assert list(out.aligned[0].token_ids) == naive_greedy(pair, pair.m2, ids, NEW)


@pytest.mark.filterwarnings("error:.*past_key_values")  # the name of a cache's argument, until transformers 5.24
def test_cached_patching_equals_the_naive_form(pair):
    ns = NeuronSet.random(pair, round(pair.total_neurons * 0.3), seed=1)
    for prompt, answer in zip(PROMPTS, sweep(pair, PROMPTS, Columns([ns]), Decoding(NEW)).patched[0], strict=True):
        assert list(answer.token_ids) == naive_patched(pair, pair.encode(prompt), ns, NEW)


def test_fraction_0_and_1(pair):
    none = generate(pair, PROMPTS, NeuronSet.empty(pair), NEW)
    assert none.patched == none.unpatched
    every = NeuronSet.all(pair)
    full = generate(pair, PROMPTS, every, NEW)
    ids = pair.encode(PROMPTS[0])
    assert list(full.patched[0].token_ids) == naive_patched(pair, ids, every, NEW)
    if pair.shared:
        assert full.patched == full.aligned


def test_exactly_the_chosen_neurons_change_at_the_first_patched_layer(pair):
    ns = NeuronSet.from_pairs([(1, 3), (1, 5), (2, 7)], pair)
    ids = pair.encode(PROMPTS[0])
    plain = first_step(pair, ids, NeuronSet.empty(pair), 0)  # a batch of the same rows: bitwise the same products
    patched = first_step(pair, ids, ns, 0)
    assert torch.equal(plain[0], patched[0])
    differs = (plain[1] != patched[1]).any(dim=0).nonzero().flatten().tolist()
    assert differs == [3, 5]


def test_hooks_let_go(pair):
    before = [dict(module.__dict__) for module in pair.backbone1.modules()]
    with (
        pytest.raises(RuntimeError, match="a patch failed"),
        neuron_hooks(pair.backbone1, lambda _layer, _h: (_ for _ in ()).throw(RuntimeError("a patch failed"))),
    ):
        pair.backbone1(**inputs_of(pair.backbone1, [TokenText([1, 2], [3])]))
    assert [set(module.__dict__) for module in pair.backbone1.modules()] == [set(b) for b in before]
    assert not any(m._forward_pre_hooks for m in pair.backbone1.modules())


def test_columns_are_what_a_neuron_writes(pair):
    """Activation 1 in one neuron and 0 in all others: the layer writes that column (and its bias)."""
    layer = neuron_layers(pair.backbone1)[1]
    written = []
    family = family_of(pair.backbone1)
    blocks = [b for path in (family.encoder_layers, family.layers) if path for b in find(pair.backbone1, path)]
    down = find(blocks[1], family.down_proj)
    chosen = [0, layer.width - 1]
    for neuron in (*chosen, None):

        def only(h, n=neuron):
            h[:] = 0
            if n is not None:
                h[..., n] = 1

        handle = layer.attach(only)
        seen = down.register_forward_hook(lambda _m, _a, out: written.append(out.reshape(-1, out.shape[-1])[0].clone()))
        with torch.inference_mode():
            pair.backbone1(**inputs_of(pair.backbone1, [TokenText([1, 2], [3])]))
        seen.remove()
        handle.remove()
    for column, got in zip(layer.columns(chosen), written, strict=False):
        assert_close(got - written[-1], column, scale=max(got.abs().max(), column.abs().max()))


def test_neurons_can_be_inspected(pair):
    ns = NeuronSet.from_pairs([(0, 1), (pair.n_layers - 1, 2)], pair)
    seen = read_words(pair, "Hi there", ns, 5)
    assert len(seen.words) == seen.m1.shape[1]
    counted = seen.words["compared"].sum()
    assert counted == len(sweep(pair, ["Hi there"], Columns(aligned=False), Decoding(5)).unpatched[0].token_ids)
    assert not np.isnan(seen.m1[1][seen.words["compared"]]).any()
    assert len(project(pair, ns, 3)) == len(ns) * 3 * 2
    final_norm(pair.backbone1)


# -- what is particular to a family ----------------------------------------------------------------


def test_sums_of_an_encoder_decoder_s_prompts_add_up_layer_by_layer():
    pair = tiny.any_pair("t5")
    whole = contrast(pair, PROMPTS, NEW)
    parts = [contrast_sums(pair, [prompt], Comparison(NEW)).to_arrays() for prompt in PROMPTS]
    added = scores_of(Sums.total(parts), whole.label, {})
    assert added.count == whole.count
    assert added.meta["encoder_positions"] == whole.meta["encoder_positions"]
    size = float((np.abs(whole.mean1) + 2 * whole.std1).max())
    assert_close(added.scores, whole.scores, layers=pair.n_layers, scale=size)


def test_the_last_prompt_token_is_read_in_each_part_of_an_encoder_decoder():
    pair = tiny.any_pair("t5")
    ns = NeuronSet.from_flat(np.arange(0, pair.total_neurons, 7), pair, "some")
    together, alone = (last_prompt_activations(pair, PROMPTS, ns, size) for size in (16, 1))
    assert_close(together, alone, layers=pair.n_layers)


def test_an_encoder_decoder_is_patched_in_either_part_or_both():
    pair = tiny.any_pair("t5")
    assert pair.parts == {"encoder": range(0, 3), "decoder": range(3, 6)}
    changes = contrast(pair, PROMPTS, NEW)
    assert changes.meta["encoder_positions"] == sum(len(pair.encode(p)) for p in PROMPTS)
    for part, other in (("encoder", "decoder"), ("decoder", "encoder")):
        chosen = changes.without_layers(*pair.parts[other]).top(40)
        assert set(chosen.layers.tolist()) <= set(pair.parts[part])
        out = generate(pair, PROMPTS, chosen, NEW)
        assert out.patched != out.unpatched


def test_the_experts_layer_without_a_visit_changes_nothing():
    for kind in ("mixtral", "qwen2_moe", "qwen3_moe"):
        model = tiny.any_model(kind)
        ids = torch.tensor([[5, 60, 70], [80, 90, 100]])
        with torch.inference_mode():
            plain = model(ids).logits
            with neuron_hooks(model, lambda _layer, _h: None):
                seen = model(ids).logits
        assert_close(seen, plain, layers=tiny.LAYERS)


def test_a_neuron_is_layer_expert_and_index():
    pair = tiny.any_pair("qwen2_moe")  # 4 experts of 8 neurons and a shared one of 12
    assert [pair.expert_of(n) for n in (0, 9, 31, 32, 43)] == [(0, 0), (1, 1), (3, 7), (4, 0), (4, 11)]
    assert tiny.any_pair("gpt2").expert_of(5) == (0, 5)

    changes = contrast(pair, PROMPTS, max_new_tokens=3)
    table = neuron_table(changes).set_index("index")
    assert table.loc[9, ["expert", "index_in_expert"]].to_numpy()[0].tolist() == [1, 1]
    assert table.loc[43, ["expert", "index_in_expert"]].to_numpy()[0].tolist() == [-1, 11]
    assert [expert_name(changes, n) for n in (9, 43)] == ["Expert 1, neuron 1", "The shared expert, neuron 11"]
    plain = contrast(tiny.any_pair("gpt2"), PROMPTS, max_new_tokens=3)
    assert "expert" not in neuron_table(plain)
    assert expert_name(plain, 5) == ""


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_is_contrasted_and_ranked_but_writes_nothing(kind):
    pair = tiny.any_pair(kind)
    got = contrast(pair, PROMPTS, positions="prompt", batch_size=2)
    d = []
    for prompt in PROMPTS:
        text = TokenText(pair.encode(prompt))
        a1, a2 = (hook_free(kind, 0, None, text, scale) for scale in (None, pair.scale2))
        d.append(torch.stack(a1) - torch.stack(a2))
    expected = torch.cat(d, dim=1).double().square().mean(dim=1).sqrt().numpy()
    size = max(float(a.abs().max()) for a in (*a1, *a2))
    assert_close(got.scores, expected, layers=pair.n_layers, scale=size)
    assert len(got.top(fraction=0.1)) == 7
    with pytest.raises(ExplorerError, match="positions prompt"):
        contrast(pair, PROMPTS)
    with pytest.raises(ExplorerError, match="writes no text"):
        generate(pair, PROMPTS, got.top(3), NEW)


@pytest.mark.parametrize("kind", ["stablelm", "granite", "olmo"])
def test_a_family_of_another_name_is_recognised_by_structure(kind):
    model = tiny.any_model(kind, **tiny.FAMILIES["llama"])
    assert family_of(model).name.startswith("Llama")
    assert [d.in_features for d in down_projections(model)] == [tiny.NEURONS] * tiny.LAYERS


@pytest.mark.parametrize(
    ("kind", "settings", "place"),
    [
        ("starcoder2", tiny.FAMILIES["llama"], "model.layers[…].mlp.c_proj"),
        ("codegen", {"n_embd": 16, "n_layer": 2, "n_head": 4, "rotary_dim": 4}, "transformer.h[…].mlp.fc_out"),
        ("olmoe", tiny.FAMILIES["llama"] | {"num_experts": 4, "num_experts_per_tok": 2}, "model.layers[…].mlp.experts"),
    ],
)
def test_a_model_built_like_none_is_found_by_what_it_computes(kind, settings, place):
    assert family_of(tiny.any_model(kind, **settings)).place == place


def test_a_model_without_mlps_is_refused_in_one_sentence():
    with pytest.raises(ExplorerError, match="“mamba” have no MLP"):
        family_of(tiny.any_model("mamba", hidden_size=16, num_hidden_layers=2, state_size=4))


def test_layers_of_two_kinds_are_padded_to_one_width():
    pair = Pair(
        tiny.tokenizer(), *[tiny.any_model("qwen2_moe", mlp_only_layers=[0])] * 2, None, None, tiny.shared_pair().spec
    )
    assert pair.widths == (tiny.NEURONS, 44, 44)  # 4 experts of 8 neurons and a shared one of 12
    assert pair.experts is None
    with pytest.raises(ExplorerError, match="no single down_proj"):
        down_projections(tiny.any_model("mixtral"))
