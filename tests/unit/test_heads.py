"""The demo's score heads: what is read of an answer, how a reading is chosen, and how a head is kept."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from explorer import paths
from explorer.errors import ExplorerError
from explorer.scoring.features import POOLS, Reading, answer_features
from explorer.scoring.fitting import STRENGTHS, Texts, fit_cost, fit_reward
from explorer.scoring.head import Head, read_head, write_head
from tests import tiny
from tests.close import assert_close

PROMPTS = ["How do I bake bread?", "", "Why?"]
TEXTS = ["Mix flour and water.", "Hello <|im_end|> there", "Because it is so."]
READING = Reading((1, 2), POOLS, True, 8)


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


def test_features_are_the_hidden_states_over_the_answer(model):
    got = answer_features(model, tiny.tokenizer(), PROMPTS, TEXTS, READING)
    tokenizer = tiny.tokenizer()
    lead = tokenizer(f"<|im_start|>user\n{PROMPTS[0]}<|im_end|>\n<|im_start|>assistant\n")["input_ids"]
    body = tokenizer(TEXTS[0])["input_ids"][:8]
    with torch.inference_mode():
        states = model(torch.tensor([lead + body]), output_hidden_states=True).hidden_states
    for at, layer in enumerate(READING.layers):
        own = states[layer][0, len(lead) :]
        assert_close(got[0, at, 0], own.mean(dim=0), layers=layer, scale=own.abs().max())
        assert_close(got[0, at, 1], own[-1], layers=layer)


def test_a_row_does_not_see_its_neighbours(model):
    together = answer_features(model, tiny.tokenizer(), PROMPTS, TEXTS, READING)
    for i in range(len(TEXTS)):
        alone = answer_features(model, tiny.tokenizer(), PROMPTS[i : i + 1], TEXTS[i : i + 1], READING)
        assert_close(alone[0], together[i], layers=max(READING.layers))


def test_answers_to_one_prompt_are_read_as_if_each_had_its_own(model):
    texts = [*TEXTS, "A fourth, rather longer answer.", "E"]
    together = answer_features(model, tiny.tokenizer(), [PROMPTS[0]] * 5, texts, READING)
    for i, text in enumerate(texts):
        alone = answer_features(model, tiny.tokenizer(), PROMPTS[:1], [text], READING)
        assert_close(alone[0], together[i], layers=max(READING.layers))


def test_an_empty_prompt_is_as_good_as_none_and_an_empty_answer_is_read(model):
    alone = Reading((2,), ("mean",), False)
    without = answer_features(model, tiny.tokenizer(), PROMPTS, TEXTS, alone)
    empty = answer_features(model, tiny.tokenizer(), [""] * 3, TEXTS, Reading((2,), ("mean",), True))
    assert np.array_equal(without, empty)
    assert np.isfinite(answer_features(model, tiny.tokenizer(), [""], [""], alone)).all()


def test_the_model_answers_as_before_after_it_was_read(model):
    ids = torch.tensor([[1, 2, 3]])
    before = model(ids).logits
    answer_features(model, tiny.tokenizer(), PROMPTS, TEXTS, READING)
    assert torch.equal(model(ids).logits, before)


def _source(name: str, n: int, layer: int, seed: int, prompted: bool) -> Texts:
    """Answers whose label shows at one of the five layers only."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    x = rng.normal(size=(n, 5, 2, 6)).astype(np.float32)
    x[:, layer, 0, 0] += 3 * labels
    groups = np.array([f"q{i % 30}" for i in range(n)])
    return Texts(name, x, x + 0.01 if prompted else None, labels, groups)


def test_the_cost_head_reads_where_the_label_shows_and_is_calibrated():
    sources = [_source("a", 300, 2, 0, False), _source("b", 200, 2, 1, True)]
    candidates = [Reading((6,), ("mean",), False), Reading((14,), ("mean",), False), Reading((14,), ("last",), True)]
    chosen = fit_cost(sources, candidates, say=lambda _: None)
    assert chosen.head.reading == candidates[1]
    assert all(score > 0.95 for score in chosen.scores.values())
    assert len(chosen.tried) == len(candidates) * len(STRENGTHS)
    for source in sources:
        probability = 1 / (1 + np.exp(-chosen.out_of_fold[source.name]))
        assert abs(probability.mean() - source.labels.mean()) < 0.05


def test_a_question_is_never_on_both_sides_of_a_fold():
    rng = np.random.default_rng(0)
    groups = np.array([f"q{i // 10}" for i in range(300)])
    labels = rng.integers(2, size=30).repeat(10)  # a label is a question's, and its features are noise of its own
    x = rng.normal(size=(30, 5, 2, 40)).repeat(10, axis=0).astype(np.float32)
    chosen = fit_cost([Texts("a", x, None, labels, groups)], [Reading((14,), ("mean",), False)], say=lambda _: None)
    assert chosen.scores["a"] < 0.8  # learnt by heart it would be 1


def test_the_reward_head_orders_pairs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5, 2, 6)).astype(np.float32)
    x[::2, 1, 1, 3] += 2.5
    pairs = Texts("pairs", None, x, np.tile([1, 0], 100), np.repeat([f"q{i}" for i in range(100)], 2))
    candidates = [Reading((6,), ("mean",)), Reading((10,), ("last",))]
    chosen = fit_reward([pairs], candidates, say=lambda _: None)
    assert chosen.head.reading == candidates[1]
    assert chosen.scores["pairs"] > 0.9
    assert chosen.head.bias == 0


def test_a_head_is_kept_with_what_it_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "HEADS", tmp_path)
    write_head("demo-cost", Head(READING, np.arange(4, dtype=np.float32), -0.5), {"about": 1})
    found = read_head("demo-cost")
    assert found.reading == READING
    assert found.weight.tolist() == [0, 1, 2, 3]
    assert found.bias == -0.5
    (tmp_path / "demo_cost.safetensors").write_bytes(b"broken")
    with pytest.raises(ExplorerError, match="missing or damaged"):
        read_head("demo-cost")


def test_threads_that_score_at_once_get_their_own_answers(model):
    """Hooks and what is remembered of the last reading are shared by all threads of a process."""
    jobs = [([f"question {i}"] * 3, [f"{word} {i}" for word in ("one", "two", "three")]) for i in range(24)]
    alone = [answer_features(model, tiny.tokenizer(), *job, READING) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: answer_features(model, tiny.tokenizer(), *job, READING), jobs * 3))
    for i, got in enumerate(together):
        assert np.array_equal(got, alone[i % len(jobs)])
