"""The fast form of patching against the naive reference, and both against Hugging Face `generate`."""

import pytest
import torch

from explorer.engine.batch import DecodeBatch
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import generate, stream, sweep
from explorer.engine.reference import naive_greedy, naive_patched
from explorer.errors import ExplorerError
from explorer.models.families import down_projections
from explorer.models.hooks import neuron_hooks
from explorer.neurons.sets import NeuronSet
from tests import tiny

PAIRS = {
    **{f"{kind} shared": (tiny.shared_pair, kind) for kind in tiny.CONFIGS},
    **{f"{kind} lockstep": (tiny.lockstep_pair, kind) for kind in tiny.CONFIGS},
}
NEW = 12


@pytest.fixture(scope="module", params=PAIRS, ids=str)
def pair(request):
    make, kind = PAIRS[request.param]
    return make(kind)


def hf_generate(model, ids: list[int], count: int) -> tuple[int, ...]:
    out = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False, pad_token_id=258)
    return tuple(out[0, len(ids) :].tolist())


def test_fast_equals_naive_on_20_prompts_3_fractions_2_kinds_of_set(pair):
    total = pair.total_neurons
    chosen = [NeuronSet.random(pair, round(total * f), seed=1) for f in (0.05, 0.25, 0.45)]
    sets = [s for ns in chosen for s in (ns, NeuronSet.random_like(ns, pair, seed=2))]
    out = sweep(pair, tiny.PROMPTS, Columns(sets), Decoding(NEW))
    for number, ns in enumerate(sets):
        for prompt, answer in zip(tiny.PROMPTS, out.patched[number], strict=True):
            assert list(answer.token_ids) == naive_patched(pair, pair.encode(prompt), ns, NEW), (ns.label, prompt)


def test_unpatched_and_aligned_equal_hf_generate(pair):
    out = sweep(pair, tiny.PROMPTS, Columns(), Decoding(NEW))
    for prompt, first, second in zip(tiny.PROMPTS, out.unpatched, out.aligned, strict=True):
        ids = pair.encode(prompt)
        assert first.token_ids == hf_generate(pair.m1, ids, NEW)
        assert second.token_ids == hf_generate(pair.m2, ids, NEW)
        assert list(second.token_ids) == naive_greedy(pair, pair.m2, ids, NEW)


def test_patching_does_something(pair):
    out = generate(pair, tiny.PROMPTS, NeuronSet.random(pair, pair.total_neurons // 2), NEW)
    assert any(a != b for a, b in zip(out.unpatched, out.patched, strict=True))


def test_fraction_0_is_unpatched_and_fraction_1_of_a_shared_pair_is_aligned(pair):
    none = generate(pair, tiny.PROMPTS, NeuronSet.empty(pair), NEW)
    assert none.patched == none.unpatched
    if pair.shared:
        full = generate(pair, tiny.PROMPTS, NeuronSet.all(pair), NEW)
        assert full.patched == full.aligned
        # The shortcut that decoding takes is the naive truth.
        ids = pair.encode(tiny.PROMPTS[0])
        assert naive_patched(pair, ids, NeuronSet.all(pair), NEW) == list(full.aligned[0].token_ids)


def test_stream_joins_to_the_text_of_generate(pair):
    ns = NeuronSet.random(pair, pair.total_neurons // 3, seed=4)
    for prompt in tiny.PROMPTS[:6]:
        out = generate(pair, [prompt], ns, NEW)
        steps = list(stream(pair, prompt, ns, NEW))
        for column in ("unpatched", "patched", "aligned"):
            tokens = [t for t in (getattr(step, column) for step in steps) if t is not None]
            answer = getattr(out, column)[0]
            assert tuple(t.id for t in tokens) == answer.token_ids
            assert "".join(t.text for t in tokens) == answer.text


def test_batches_of_any_size_give_the_same_answers(pair):
    ns = NeuronSet.random(pair, 20, seed=5)
    whole = generate(pair, tiny.PROMPTS, ns, NEW, max_rows=1000)
    single = generate(pair, tiny.PROMPTS, ns, NEW, max_rows=4)
    assert whole == single


def test_exactly_the_chosen_neurons_change_at_the_first_patched_layer(pair):
    """All others are bitwise equal there, seen at the input of `down_proj` on the prompt."""
    ns = NeuronSet(torch.tensor([1, 1, 2]), torch.tensor([3, 5, 7]), pair.n_layers, pair.n_neurons)
    ids = pair.encode(tiny.PROMPTS[0])
    plain = first_step(pair, ids, NeuronSet.empty(pair), 0)  # a batch of the same rows: bitwise the same products
    patched = first_step(pair, ids, ns, 0)
    assert torch.equal(plain[0], patched[0])
    differs = (plain[1] != patched[1]).any(dim=0).nonzero().flatten().tolist()
    assert differs == [3, 5]


def first_step(pair, ids: list[int], ns: NeuronSet, column: int) -> dict[int, torch.Tensor]:
    """What M1's row puts into each `down_proj` when the prompt is read, by layer."""
    batch = DecodeBatch(pair, [ids], Columns([ns]).as_patches, [column], Decoding(NEW))
    original, seen = batch.passes[0].forward, {}

    def spy(pending, visit, last):
        def both(layer, h):
            visit(layer, h)
            seen[layer] = h[0].clone()

        return original(pending, both, last)

    batch.passes[0].forward = spy
    batch.step()
    return seen


def test_hooks_let_go_when_a_pass_fails(pair):
    def fail(layer, h):
        raise RuntimeError("a patch failed")

    with pytest.raises(RuntimeError, match="a patch failed"), neuron_hooks(pair.backbone1, fail):
        pair.backbone1(torch.tensor([[1, 2]]))
    assert not any(d._forward_pre_hooks for d in down_projections(pair.backbone1))


def test_nothing_is_held_when_a_stream_is_left_half_way(pair):
    steps = stream(pair, "Hi there", NeuronSet.all(pair), NEW)
    next(steps)
    assert not any(d._forward_pre_hooks for d in down_projections(pair.backbone1))
    assert pair.lock.acquire(blocking=False)
    pair.lock.release()


@pytest.mark.parametrize(
    ("prompt", "tokens", "words"),
    [
        ("", 8, "empty"),
        ("   \n", 8, "empty"),
        ("x" * 50_000, 8, "50,000 characters"),
        ("hi", 0, "length"),
        ("hi", 5000, "length"),
        ("x " * 600, 8, "tokens"),
    ],
)
def test_bad_input_is_one_clear_sentence(prompt, tokens, words):
    pair = tiny.shared_pair()
    with pytest.raises(ExplorerError, match=words) as caught:
        stream(pair, prompt, NeuronSet.empty(pair), tokens)
    assert "\n" not in str(caught.value)


def test_a_set_of_another_model_is_refused():
    pair = tiny.shared_pair()
    ns = NeuronSet.from_pairs([(0, 0)], tiny_shape(2, 5))
    with pytest.raises(ExplorerError, match="2 × 5"):
        generate(pair, ["hi"], ns, 4)


def tiny_shape(layers: int, neurons: int):
    class Shape:
        n_layers = layers
        n_neurons = neurons

    return Shape()
