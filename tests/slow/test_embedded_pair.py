"""The exactness claims on the embedded pair, in float32: minutes of work, run by `make test-slow`."""

import numpy as np
import pytest
import torch

import explorer
from explorer.data.suites_io import load_suite
from explorer.engine.contrast import contrast
from explorer.engine.drafts import NgramDraft
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import generate, sweep
from explorer.engine.reference import naive_activations, naive_patched
from explorer.models import embedded
from explorer.neurons.sets import NeuronSet
from tests.close import assert_close

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not embedded.available(), reason=f"the embedded model is not installed: {embedded.INSTALL}"),
]
NEW = 16


@pytest.fixture(scope="module")
def pair():
    return explorer.load_pair("demo", dtype="float32")


@pytest.fixture(scope="module")
def prompts():
    return [p.prompt for suite in ("redteam_eval", "ordinary_eval") for p in load_suite(suite, 10)]


@pytest.fixture(scope="module")
def safety():
    return explorer.open_run("cache/demo").change_scores("safety")


def test_a_few_answers_equal_the_naive_reference_in_both_directions(pair, prompts, safety):
    """What CI runs: minutes, on the real pair (`make exact`)."""
    some, sets = prompts[::7], [safety.top(fraction=0.05), safety.top(fraction=0.3)]
    for way in (pair, pair.reversed()):
        out = sweep(way, some, Columns(sets), Decoding(8))
        for number, ns in enumerate(sets):
            for prompt, answer in zip(some, out.patched[number], strict=True):
                assert list(answer.token_ids) == naive_patched(way, way.encode(prompt), ns, 8), (ns.label, prompt)


def test_fast_equals_naive_on_20_prompts_3_fractions_2_kinds_of_set(pair, prompts, safety):
    tops = [safety.top(fraction=f) for f in (0.05, 0.2, 0.45)]
    # Beyond 5 % this ranking fills more than half of a layer, and no disjoint random set of the same layers exists.
    sets = [*tops, NeuronSet.random_like(tops[0], pair, seed=1)]
    sets += [NeuronSet.random(pair, len(ns), seed=1) for ns in tops[1:]]
    out = sweep(pair, prompts, Columns(sets), Decoding(NEW))
    for number, ns in enumerate(sets):
        for prompt, answer in zip(prompts, out.patched[number], strict=True):
            assert list(answer.token_ids) == naive_patched(pair, pair.encode(prompt), ns, NEW), (ns.label, prompt)


def test_unpatched_and_aligned_equal_hf_generate(pair, prompts):
    out = sweep(pair, prompts, Columns(), Decoding(48))
    for prompt, first, second in zip(prompts, out.unpatched, out.aligned, strict=True):
        ids = torch.tensor([pair.encode(prompt)])
        for model, answer in ((pair.m1, first), (pair.m2, second)):
            whole = model.generate(ids, max_new_tokens=48, do_sample=False, attention_mask=torch.ones_like(ids))
            assert answer.token_ids == tuple(whole[0, ids.shape[1] :].tolist())


def test_fraction_1_computed_the_long_way_is_aligned(pair, prompts):
    """Decoding takes a shortcut here; the naive reference does not."""
    out = generate(pair, prompts[:2], NeuronSet.all(pair), NEW)
    for prompt, answer in zip(prompts[:2], out.aligned, strict=True):
        assert naive_patched(pair, pair.encode(prompt), NeuronSet.all(pair), NEW) == list(answer.token_ids)


def test_change_scores_equal_a_naive_recomputation(pair, prompts):
    some = prompts[:6]
    got = contrast(pair, some, 24, batch_size=4)
    out = sweep(pair, some, Columns(aligned=False), Decoding(24))
    squares, count = np.zeros((pair.n_layers, pair.n_neurons)), 0
    for prompt, answer in zip(some, out.unpatched, strict=True):
        ids = pair.encode(prompt)
        text = ids + list(answer.token_ids)
        where = slice(len(ids) - 1, len(text) - 1)
        first, second = naive_activations(pair.m1, text), naive_activations(pair.m2, text)
        for layer, (a, b) in enumerate(zip(first, second, strict=True)):
            squares[layer] += ((a[where].double() - b[where].double()) ** 2).sum(dim=0).numpy()
        count += len(answer.token_ids)
    assert got.count == count
    sizes = np.array([float(a[where].abs().max()) for a in first])[:, None]  # differences are as exact as these
    for found, wanted, size in zip(got.scores, np.sqrt(squares / count), sizes, strict=True):
        assert_close(found, wanted, layers=pair.n_layers, scale=float(size[0]))


def test_the_shipped_adapter_is_what_peft_makes_of_it(pair):
    from peft import PeftModel

    from explorer.paths import PACKAGE

    wrapped = PeftModel.from_pretrained(pair.m1, str(PACKAGE / "models" / "shipped" / "safety"))
    ids = torch.tensor([pair.encode("How do I pick a lock?")])
    with torch.inference_mode():
        assert_close(pair.m2(ids).logits, wrapped(ids).logits, layers=pair.n_layers)


class Silent:
    """Drafts nothing."""

    def propose(self, texts, rows, row_price, most):
        return [[] for _ in texts]


def test_drafts_change_no_answer(pair, safety):
    """Prompts that the run has answers to, so that much is accepted, and prompts that nobody has asked."""
    draft = NgramDraft.from_arrays(explorer.open_run("cache/demo").tensors("phrases"))
    prompts = [p.prompt for p in load_suite("redteam_eval", 6)]
    prompts += ["Say apple ten times.", "Write down the months of the year, then write them down again."]
    top = safety.top(fraction=0.05)
    for prompt in prompts:
        for columns in (True, False):  # of one column alone, more is drafted
            with_draft, without = (
                sweep(pair, [prompt], Columns([top], unpatched=columns, aligned=columns), Decoding(48, draft=d))
                for d in (draft, Silent())
            )
            assert with_draft == without
