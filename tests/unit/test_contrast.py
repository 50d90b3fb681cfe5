"""Change scores against a naive recomputation."""

import numpy as np
import pytest

from explorer.engine.contrast import contrast
from explorer.engine.options import COMPARED, Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reference import naive_activations
from explorer.errors import ExplorerError
from explorer.models.pair import Pair
from tests import tiny
from tests.close import assert_close

NEW = 10
PROMPTS = tiny.PROMPTS[:9]


@pytest.fixture(scope="module", params=[*tiny.CONFIGS, "lockstep"])
def pair(request):
    return tiny.lockstep_pair() if request.param == "lockstep" else tiny.shared_pair(request.param)


def compared(pair, prompt: str, answer: list[int], positions: str) -> tuple[list[int], slice]:
    """Text and compared positions, spelt out from the paper's definition (t is the prompt's length)."""
    ids = pair.encode(prompt)
    t, m = len(ids), len(answer)
    where = {
        "paper": slice(t - 1, t + m - 1),
        "shifted": slice(t, t + m),
        "prompt": slice(0, t),
        "last_prompt": slice(t - 1, t),
    }[positions]
    return (ids + answer if positions in ("paper", "shifted") else ids), where


@pytest.mark.parametrize("answers", ["m1", "m2"])
@pytest.mark.parametrize("positions", COMPARED)
def test_scores_equal_a_naive_recomputation(pair, positions, answers):
    got = contrast(pair, PROMPTS, NEW, positions=positions, answers=answers, batch_size=4)
    out = sweep(pair, PROMPTS, Columns(), Decoding(NEW))
    rows1, rows2 = [], []
    for prompt, answer in zip(PROMPTS, out.unpatched if answers == "m1" else out.aligned, strict=True):
        text, where = compared(pair, prompt, list(answer.token_ids), positions)
        rows1.append(np.stack([a[where].double().numpy() for a in naive_activations(pair.m1, text)]))
        rows2.append(np.stack([a[where].double().numpy() for a in naive_activations(pair.m2, text)]))
    a1, a2 = np.concatenate(rows1, axis=1), np.concatenate(rows2, axis=1)  # [layers, positions, neurons]
    assert got.count == a1.shape[1]
    size = max(np.abs(a1).max(), np.abs(a2).max())  # differences are as exact as what they are differences of
    assert_close(got.scores, np.sqrt(((a1 - a2) ** 2).mean(axis=1)), layers=pair.n_layers, scale=size)
    for mean, std, a in ((got.mean1, got.std1, a1), (got.mean2, got.std2, a2)):
        assert_close(mean, a.mean(axis=1), layers=pair.n_layers, scale=size)
        assert_close(std**2, a.var(axis=1), layers=pair.n_layers, scale=size**2)  # E[a²] − E[a]²


def size_of(changes) -> float:
    """About how large the activations are that change scores are differences of."""
    return float(
        max((np.abs(m) + 2 * s).max() for m, s in ((changes.mean1, changes.std1), (changes.mean2, changes.std2)))
    )


def test_batch_size_does_not_matter(pair):
    one = contrast(pair, PROMPTS, NEW, batch_size=1)
    many = contrast(pair, PROMPTS, NEW, batch_size=64)
    assert_close(one.scores, many.scores, layers=pair.n_layers, scale=size_of(many))


def test_how_many_tokens_are_read_at_once_does_not_matter(monkeypatch):
    pair = tiny.shared_pair("llama")
    whole = contrast(pair, tiny.PROMPTS, 5)
    for tokens in (1, 40):  # a text at a time, a few at a time
        monkeypatch.setattr("explorer.engine.contrast.CPU_TOKENS", tokens)
        parts = contrast(pair, tiny.PROMPTS, 5)
        assert parts.count == whole.count
        assert_close(parts.scores, whole.scores, layers=pair.n_layers, scale=size_of(whole))


def test_excluded_layers_are_not_ranked():
    pair = tiny.shared_pair()
    changes = contrast(pair, PROMPTS, NEW, exclude_layers=[-1])
    assert changes.excluded_layers == (tiny.LAYERS - 1,)
    assert tiny.LAYERS - 1 not in changes.top(fraction=0.9).layers
    assert len(changes.order) == (tiny.LAYERS - 1) * tiny.NEURONS


@pytest.mark.parametrize("shared", [True, False])
def test_identical_models_are_refused(shared):
    pair = tiny.shared_pair(spread=0.0)
    if not shared:  # two loads of one checkpoint
        pair = Pair(pair.tokenizer, pair.backbone1, tiny.model("llama"), None, None, pair.spec)
    with pytest.raises(ExplorerError, match="do the same on these prompts"):
        contrast(pair, PROMPTS, NEW)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"positions": "everywhere"}, "Positions"),
        ({"answers": "m3"}, "m1 or m2"),
        ({"exclude_layers": [99]}, "Layer 99"),
    ],
)
def test_bad_options_are_one_clear_sentence(options, words):
    with pytest.raises(ExplorerError, match=words):
        contrast(tiny.shared_pair(), PROMPTS, NEW, **options)


def test_no_prompts_is_refused():
    with pytest.raises(ExplorerError, match="no prompts"):
        contrast(tiny.shared_pair(), [], NEW)
