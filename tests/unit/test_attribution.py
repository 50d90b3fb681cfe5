"""Attribution: gradients against finite differences of the naive form in every family, completeness, batching."""

import json

import numpy as np
import pytest
import torch

import explorer
from explorer.engine.attribution import (
    Attributing,
    Batch,
    attribute,
    attribution_batches,
    attribution_sums,
    attributions_of,
    batch_sums,
    steps_of,
)
from explorer.engine.attribution_sums import AttributionSums
from explorer.engine.contrast import contrast
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reference import naive_mixed_log_prob
from explorer.errors import ExplorerError
from explorer.neurons.scores import Attributions, ranking_from_parts
from tests import tiny

NEW = 6
PROMPTS = tiny.PROMPTS[:3]
LOCKSTEP = ("gpt2", "opt", "qwen2_moe", "t5")
WRITERS = tiny.WRITERS


@pytest.fixture(scope="module", params=[*WRITERS, *(f"{kind} twice" for kind in LOCKSTEP), "llama twice"])
def pair(request):
    """In float64, so that finite differences over a short way tell."""
    kind, _, twice = request.param.partition(" ")
    pair = tiny.any_pair(kind, shared=not twice)
    pair.backbone1.double()
    pair.backbone2.double()
    return pair


def signed_answers(pair, objective: str, prompts=PROMPTS, new: int = NEW) -> list[tuple[list[int], tuple, float]]:
    """What L is of, spelt out: token ids of prompts and answers, each with its sign."""
    out = sweep(pair, prompts, Columns(), Decoding(new))
    ids = [pair.encode(prompt) for prompt in prompts]
    second = [(prompt, answer.token_ids, 1.0) for prompt, answer in zip(ids, out.aligned, strict=True)]
    first = [(prompt, answer.token_ids, -1.0) for prompt, answer in zip(ids, out.unpatched, strict=True)]
    return second + first if objective == "both" else second


def log_ratio(pair, answers, mask: torch.Tensor) -> float:
    """L by the naive form."""
    return sum(sign * naive_mixed_log_prob(pair, ids, answer, mask) for ids, answer, sign in answers)


@pytest.mark.parametrize("step", [0.0, 0.6])
def test_gradients_equal_finite_differences_of_the_naive_form(pair, step):
    objective = "m2" if pair.spec.name.split()[1].startswith("gemma") else "both"  # tiny Gemmas all say the same
    # transformers' eager Gemma 2 gives NaN for padded rows in float64, a type that no pair is loaded in
    prompts = [p[: min(map(len, PROMPTS))] for p in PROMPTS] if pair.spec.name.split()[1] == "gemma2" else PROMPTS
    got = attribute(pair, prompts, NEW, (step,), objective=objective, batch_size=2)
    answers = signed_answers(pair, objective, prompts)
    at = torch.full(got.scores.shape, step, dtype=torch.float64)
    assert got.log_ratio[0] == pytest.approx(log_ratio(pair, answers, at), rel=1e-3, abs=1e-3)
    generator = torch.Generator().manual_seed(1)
    largest = np.argsort(-np.abs(got.scores).reshape(-1))[:2]
    directions = [torch.randn(at.shape, generator=generator) for _ in range(2)]
    directions += [torch.zeros(at.numel()).scatter(0, torch.tensor([i]), 1.0).view(at.shape) for i in largest]
    for direction in directions:
        found = float((torch.from_numpy(got.scores) * direction).sum())
        scale = float(np.linalg.norm(got.scores)) * float(direction.norm())
        assert any(
            min(differences(pair, answers, at, direction, change / scale, found)) <= 2e-3 * scale
            for change in (0.1, 1e-2, 1e-3, 1.0)  # over a long way L curves, over a short one it is rounded
        )


def differences(pair, answers, at: torch.Tensor, direction: torch.Tensor, h: float, slope: float) -> list[float]:
    """How far finite differences lie from a slope: ahead, behind and over both; a mixture of experts may route
    otherwise on one side, where L jumps."""
    behind, here, ahead = (log_ratio(pair, answers, at + s * h * direction) for s in (-1, 0, 1))
    return [abs(slope - d) for d in ((ahead - here) / h, (here - behind) / h, (ahead - behind) / (2 * h))]


@pytest.mark.parametrize("kind", ["llama", "llama twice", "gpt2", "mixtral", "t5"])
def test_the_scores_sum_approaches_what_all_patches_together_do(kind):
    """Completeness of integrated gradients: Σ A = L(1) − L(0). A mixture's routing jumps on a long way, a T5 of wide
    weights curves: the models differ little here."""
    kind, _, twice = kind.partition(" ")
    pair = tiny.any_pair(kind, shared=not twice, spread=0.02)
    ends = attribute(pair, PROMPTS, NEW, (0.0, 1.0), objective="m2")
    change = ends.log_ratio[1] - ends.log_ratio[0]
    few, many = (
        attribute(pair, PROMPTS, NEW, [(i + 0.5) / n for i in range(n)], objective="m2").scores.sum() for n in (2, 32)
    )
    assert abs(many - change) <= 0.02 * abs(change)
    assert abs(many - change) <= abs(few - change) + 1e-3 * abs(change)
    answers = signed_answers(pair, "m2")
    assert ends.log_ratio[1] == pytest.approx(log_ratio(pair, answers, torch.ones(ends.scores.shape)), rel=1e-3)


def test_with_all_neurons_patched_a_shared_pair_is_m2():
    pair = tiny.shared_pair()
    ends = attribute(pair, PROMPTS, NEW, (1.0,))
    plain = attribute(pair.reversed(), PROMPTS, NEW, (0.0,))
    assert ends.log_ratio[0] == pytest.approx(-plain.log_ratio[0], rel=1e-4)


@pytest.mark.parametrize("kind", ["llama", "llama twice", "opt", "qwen2_moe", "t5"])
def test_neither_batches_nor_padding_nor_chunks_matter(kind, monkeypatch):
    kind, _, twice = kind.partition(" ")
    pair = tiny.any_pair(kind, shared=not twice)
    prompts = tiny.PROMPTS[:7]
    whole = attribute(pair, prompts, NEW, 2)
    monkeypatch.setattr("explorer.engine.attribution.CHUNK", 3)
    for size, tokens in ((1, 10_000), (3, 10_000), (7, 60)):
        monkeypatch.setattr("explorer.engine.attribution.CPU_TOKENS", tokens)
        other = attribute(pair, prompts, NEW, 2, batch_size=size)
        np.testing.assert_allclose(other.scores, whole.scores, atol=1e-4 * np.abs(whole.scores).max())
        np.testing.assert_allclose(other.log_ratio, whole.log_ratio, rtol=1e-4)
        np.testing.assert_allclose(other.mean1, whole.mean1, rtol=1e-4, atol=1e-4)
        assert other.count == whole.count
        assert other.meta["alike"] == whole.meta["alike"]


def test_parts_add_up_to_the_whole():
    pair = tiny.shared_pair()
    how = Attributing(NEW)
    parts = [attribution_sums(pair, [prompt], how).to_arrays() for prompt in PROMPTS]
    added = attributions_of(AttributionSums.total(parts), how, pair.spec.name, {"prompts": len(PROMPTS)})
    whole = attribute(pair, PROMPTS, NEW)
    np.testing.assert_allclose(added.scores, whole.scores, atol=1e-4 * np.abs(whole.scores).max())
    assert added.label == whole.label
    assert added.meta.keys() == whole.meta.keys()
    assert added.steps == whole.steps == (0.0, 0.2, 0.4, 0.6, 0.8)
    with pytest.raises(ExplorerError, match="no prompts"):
        AttributionSums.total([])


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("objective", ["both", "m2", "target"])
def test_kept_batches_add_up_to_the_whole_to_the_bit(kind, objective, monkeypatch):
    pair = tiny.shared_pair() if kind == "llama" else tiny.any_pair(kind, shared=False)
    how = Attributing(NEW, objective=objective, target="no" if objective == "target" else "")
    prompts = [*tiny.PROMPTS[:7]]
    monkeypatch.setattr("explorer.engine.attribution.CPU_TOKENS", 60)
    rows = json.loads(json.dumps([batch.to_row() for batch in attribution_batches(pair, prompts, how, batch_size=5)]))
    assert len(rows) > 3
    kept = [batch_sums(pair, Batch.from_row(row), how).to_arrays() for row in rows]
    whole = attribution_sums(pair, prompts, how, batch_size=5).to_arrays()
    for name, value in AttributionSums.total(kept).to_arrays().items():
        np.testing.assert_array_equal(value, whole[name], name)


def test_prompts_that_both_models_answer_alike_are_one_batch_without_texts():
    pair = tiny.shared_pair(spread=0.0)
    (batch,) = attribution_batches(pair, PROMPTS, Attributing(NEW))
    assert batch == Batch((), len(PROMPTS))
    sums = batch_sums(pair, batch, Attributing(NEW))
    assert sums.alike == len(PROMPTS)
    assert not sums.by_step.any()


def test_no_more_than_a_chunk_s_texts_are_held(monkeypatch):
    """Answers are written, read and forgotten a chunk at a time."""
    held = []
    from explorer.engine import attribution

    monkeypatch.setattr(attribution, "CHUNK", 4)
    batches = attribution.in_batches
    monkeypatch.setattr(attribution, "in_batches", lambda texts, *how: held.append(len(texts)) or batches(texts, *how))
    attribute(tiny.shared_pair(), tiny.PROMPTS, 2, 1)
    assert len(held) == 5
    assert max(held) <= 8


def test_means_are_those_of_the_activations_that_were_read():
    pair = tiny.lockstep_pair()
    got = attribute(pair, PROMPTS, NEW, objective="m2")
    same = contrast(pair, PROMPTS, NEW, answers="m2")
    assert got.count == same.count
    for name in ("mean1", "mean2", "std1", "std2"):
        np.testing.assert_allclose(getattr(got, name), getattr(same, name), rtol=1e-3, atol=1e-3)
    assert np.isnan(attribute(pair, PROMPTS, NEW, (0.5,)).mean1).all()


# -- objectives ------------------------------------------------------------------------------------


def test_both_is_m2_s_answer_less_m1_s():
    pair = tiny.shared_pair()
    both, second = (attribute(pair, PROMPTS, NEW, 1, objective=o) for o in ("both", "m2"))
    assert both.meta["alike"] == 0
    nothing = torch.zeros(both.scores.shape)
    first = [naive_mixed_log_prob(pair, i, a, nothing) for i, a, sign in signed_answers(pair, "both") if sign < 0]
    assert both.log_ratio[0] == pytest.approx(second.log_ratio[0] - sum(first), rel=1e-4)


def test_a_target_text_is_read_as_everyone_s_answer():
    pair = tiny.shared_pair()
    got = attribute(pair, PROMPTS, target="I can't", steps=1)
    target = pair.tokenizer("I can't", add_special_tokens=False)["input_ids"]
    nothing = torch.zeros(got.scores.shape)
    expected = sum(naive_mixed_log_prob(pair, pair.encode(prompt), target, nothing) for prompt in PROMPTS)
    assert got.log_ratio[0] == pytest.approx(expected, rel=1e-4)
    assert got.meta["target"] == "I can't"
    begin = attribute(pair, PROMPTS, target="I can't", steps=1, first_tokens=2)
    again = attribute(pair, PROMPTS, target="I ", steps=1)
    np.testing.assert_array_equal(begin.scores, again.scores)


def test_the_first_tokens_of_the_answers_are_those_of_shorter_ones():
    pair = tiny.shared_pair()
    first, short = attribute(pair, PROMPTS, NEW, 1, first_tokens=2), attribute(pair, PROMPTS, 2, 1)
    np.testing.assert_array_equal(first.scores, short.scores)


def test_models_that_answer_alike_have_nothing_to_attribute():
    got = attribute(tiny.shared_pair(spread=1e-5), PROMPTS, NEW)  # equal ones are refused, see below
    assert got.meta["alike"] == len(PROMPTS)
    assert not got.scores.any()


# -- the ranking -----------------------------------------------------------------------------------


def test_ends_of_the_ranking():
    got = attribute(tiny.shared_pair(), PROMPTS, NEW)
    flat = got.scores.reshape(-1)
    assert flat[got.top(1).flat()[0]] == flat.max()
    assert flat[got.by("negative").top(1).flat()[0]] == flat.min()
    assert abs(flat[got.by("absolute").top(1).flat()[0]]) == np.abs(flat).max()
    assert got.top(fraction=0.5).label == "top 50% by attribution"
    assert "negative" in got.by("negative").top(3).label
    assert -1 not in got.without_layers(-1).top(10).layers
    with pytest.raises(ExplorerError, match="positive, absolute, negative"):
        got.by("largest")


def test_some_of_the_steps_need_no_computing():
    pair = tiny.shared_pair()
    whole = attribute(pair, PROMPTS, NEW, (0.0, 0.5, 1.0))
    some = whole.at_steps(0.0, 1.0)
    expected = attribute(pair, PROMPTS, NEW, (0.0, 1.0))
    np.testing.assert_allclose(some.scores, expected.scores, atol=1e-5 * np.abs(expected.scores).max())
    assert some.log_ratio == expected.log_ratio
    with pytest.raises(ExplorerError, match=r"0\.0, 0\.5, 1\.0"):
        whole.at_steps(0.3)


def test_a_run_keeps_it():
    got = attribute(tiny.shared_pair(), PROMPTS, NEW).by("absolute")
    kept = ranking_from_parts(*got.to_parts())
    assert isinstance(kept, Attributions)
    assert kept.top(20) == got.top(20)
    assert (kept.label, kept.meta, kept.end) == (got.label, got.meta, got.end)
    with pytest.raises(ExplorerError, match="anew"):
        kept.at_steps(0.0)


# -- settings --------------------------------------------------------------------------------------


def test_steps():
    assert steps_of(1) == (0.0,)
    assert steps_of(4) == (0.0, 0.25, 0.5, 0.75)
    assert steps_of([1, 0]) == (1.0, 0.0)
    for wrong in (0, 65, True, "3", [], [0.5, 0.5], [1.5], [float("nan")], ["0"], 2.5):
        with pytest.raises(ExplorerError, match="Steps must be"):
            steps_of(wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "m1"}, "objective must be one of both, m2, target"),
        ({"objective": "target"}, "target text"),
        ({"objective": "m2", "target": "No."}, "target text"),
        ({"target": " ", "objective": "target"}, "target text"),
        ({"steps": (0.2, 7)}, "Steps"),
        ({"first_tokens": -1}, "first tokens"),
        ({"max_new_tokens": 0}, "length"),
        ({"exclude_layers": [99]}, "Layer 99"),
    ],
)
def test_bad_options_are_one_clear_sentence(options, words):
    with pytest.raises(ExplorerError, match=words) as caught:
        attribute(tiny.shared_pair(), PROMPTS, **options)
    assert "\n" not in str(caught.value)


def test_what_has_no_answers_is_refused():
    with pytest.raises(ExplorerError, match="no prompts"):
        attribute(tiny.shared_pair(), [])
    with pytest.raises(ExplorerError, match="classifier"):
        attribute(tiny.any_pair("bert"), PROMPTS)


def test_it_works_where_gradients_are_off_and_lets_go():
    pair = tiny.shared_pair("qwen2")
    contrast(pair, PROMPTS, NEW)  # whose fast weights are made in inference mode
    with torch.inference_mode():
        got = explorer.attribute(pair, PROMPTS, NEW, 1)
    assert got.scores.any()
    assert not any(m._forward_pre_hooks for m in pair.backbone1.modules())
    assert pair.lock.acquire(blocking=False)
    pair.lock.release()
    assert all(p.grad is None for p in pair.backbone1.parameters())


def test_models_that_do_the_same_and_gradients_that_are_no_numbers_are_refused():
    pair = tiny.any_pair("llama", shared=True)
    how = Attributing(4, steps_of(1))
    sums = attribution_sums(pair, PROMPTS[:1], how)
    sums.by_step[0, 1, 2] = np.nan
    with pytest.raises(ExplorerError, match="from layer 1 on"):
        attributions_of(sums, how, "x", {})
    pair.scale2 = pair.scale1
    with pytest.raises(ExplorerError, match="the same"):
        attribute(pair, PROMPTS[:1], 4, (0.0,))
