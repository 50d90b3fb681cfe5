"""The top neurons one by one: margins against the naive reference, the stage, and its table."""

from functools import wraps

import numpy as np
import pandas as pd
import pytest
import torch

from explorer.data.suites_io import load_suite
from explorer.engine.backends.fused import FusedBackend
from explorer.engine.margins import answer_margins
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import generate, sweep
from explorer.engine.reference import naive_mixed_log_prob
from explorer.errors import ExplorerError
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import load_pair
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.runs.reader import open_run
from explorer.studies.single_neurons import read_margins, single_rows, singles
from tests import tiny
from tests.close import assert_close
from tests.tiny_build import CONFIG, write_build

NEW = 6
PROMPTS = tiny.PROMPTS[:3]
STUDY = '[single_neurons]\nsuite = "ordinary_eval"\nranking = "safety"\nbeside = ["ordinary"]\nneurons = 3\nlimit = 5\n'


@pytest.mark.parametrize("back", [False, True], ids=["restore", "break"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5", "llama twice"])
def test_margins_equal_the_naive_forms(kind, back):
    pair = tiny.any_pair(kind.removesuffix(" twice"), shared=not kind.endswith("twice"))
    out = sweep(pair, PROMPTS, Columns(), Decoding(NEW))
    first, second = ([a.token_ids for a in answers] for answers in (out.unpatched, out.aligned))
    assert first != second
    pair = pair.reversed() if back else pair
    sets = [NeuronSet.random(pair, k, seed=k) for k in (1, 20)]
    ids = [pair.encode(prompt) for prompt in PROMPTS]
    got = answer_margins(pair, ids, second, first, sets)
    for row, mask in zip(got, (torch.zeros(pair.n_layers, pair.n_neurons), *(_mask(ns) for ns in sets)), strict=True):
        want = [
            naive_mixed_log_prob(pair, prompt, a, mask) - naive_mixed_log_prob(pair, prompt, b, mask)
            for prompt, a, b in zip(ids, second, first, strict=True)
        ]
        assert_close(row.astype(np.float32), np.array(want, dtype=np.float32), layers=tiny.LAYERS)
    assert got[0].tolist() != got[2].tolist()


def _mask(ns: NeuronSet) -> torch.Tensor:
    return torch.from_numpy(ns.mask()).float()


@pytest.mark.parametrize("kind", ["llama", "gemma2", "qwen3", "gpt2"])
def test_blocks_before_the_neuron_are_not_read_again(kind):
    pair = tiny.any_pair(kind)
    last = NeuronSet(np.array([pair.n_layers - 1]), np.array([3]), pair.n_layers, pair.n_neurons)
    out = sweep(pair, PROMPTS, Columns(), Decoding(NEW))
    first, second = ([a.token_ids for a in answers] for answers in (out.unpatched, out.aligned))
    ids = [pair.encode(prompt) for prompt in PROMPTS]
    read: list[int] = []
    with neuron_hooks(pair.backbone1, lambda layer, _h: read.append(layer)):
        got = answer_margins(pair, ids, second, first, [last])
    skips = FusedBackend().takes(pair.backbone1)
    assert skips == (kind != "gpt2")
    assert read.count(pair.n_layers - 1) == 2 * read.count(0) if skips else read.count(0)
    mask = _mask(last)
    want = [
        naive_mixed_log_prob(pair, prompt, a, mask) - naive_mixed_log_prob(pair, prompt, b, mask)
        for prompt, a, b in zip(ids, second, first, strict=True)
    ]
    assert_close(got[1].astype(np.float32), np.array(want, dtype=np.float32), layers=tiny.LAYERS)
    assert answer_margins(pair, ids, second, first, []).tolist() == got[:1].tolist(), "every block is whole again"


def test_a_classifier_has_no_answers():
    with pytest.raises(ExplorerError, match="classifier"):
        answer_margins(tiny.any_pair("bert"), [], [], [], [])


def test_a_build_measures_the_top_neurons_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    folder = build(read_build_config(write_build(tmp_path, CONFIG + STUDY)))
    run, pair = open_run(folder), load_pair(tmp_path / "pair.toml", dtype="float32")
    table, ranking = run.whole_table("single_neurons"), run.ranking("safety")
    assert table["direction"].tolist() == ["restore"] * 3 + ["break"] * 3
    assert table["rank"].tolist() == [1, 2, 3] * 2
    top = ranking.top(3)
    assert table["layer"].tolist()[:3] == top.layers.tolist()
    assert table["neuron"].tolist()[3:] == top.neurons.tolist()
    assert set(table["n"]) == {5}
    asked = [p.prompt for p in load_suite("ordinary_eval", 5)]
    out = generate(pair, asked, ranking.window(1, 1), 6)
    ids = [pair.encode(prompt) for prompt in asked]
    second, first = ([a.token_ids for a in answers] for answers in (out.aligned, out.unpatched))
    for way, row in ((pair, table.iloc[1]), (pair.reversed(), table.iloc[4])):
        margins = answer_margins(way, ids, second, first, [ranking.window(1, 1)])
        assert_close(
            np.array([row["margin"]], dtype=np.float32),
            np.array([(margins[1] - margins[0]).mean()], dtype=np.float32),
            layers=tiny.LAYERS,
        )
        assert row["margin_low"] <= row["margin"] <= row["margin_high"]
    beside = run.whole_table("single_beside")
    assert beside.groupby(["set", "direction"], sort=False).size().to_dict() == {
        (name, way): 3 for name in ("random", "ordinary") for way in ("restore", "break")
    }
    ordinary, other = beside[beside["set"] == "ordinary"], run.ranking("ordinary").top(3)
    assert ordinary["neuron"].tolist() == other.neurons.tolist() * 2
    chosen = beside[(beside["set"] == "random") & (beside["direction"] == "restore")]
    assert sorted(chosen["layer"]) == sorted(top.layers.tolist()), "random neurons lie in the layers of the top ones"
    assert not set(zip(chosen["layer"], chosen["neuron"], strict=True)) & set(
        zip(top.layers.tolist(), top.neurons.tolist(), strict=True)
    )
    one = NeuronSet(*(chosen[c].to_numpy()[:1] for c in ("layer", "neuron")), pair.n_layers, pair.n_neurons)
    margins = answer_margins(pair, ids, second, first, [one])
    assert_close(
        np.array([chosen["margin"].iloc[0]], dtype=np.float32),
        np.array([(margins[1] - margins[0]).mean()], dtype=np.float32),
        layers=tiny.LAYERS,
    )


def test_margins_that_were_stopped_go_on_behind_the_last_batch(tmp_path, monkeypatch):
    config = read_build_config(write_build(tmp_path, CONFIG + STUDY))
    monkeypatch.setattr("explorer.engine.margins.BATCH", 2)
    calls: list[int] = []

    @wraps(read_margins)  # readings are kept by the task's name
    def counted(*args):
        calls.append(1)
        if len(calls) == stops_at:
            raise KeyboardInterrupt
        return read_margins(*args)

    monkeypatch.setattr("explorer.studies.single_neurons.read_margins", counted)
    stops_at = 0
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "whole"))
    whole = open_run(build(config))
    batches = len(calls)
    calls.clear()
    stops_at = 4
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    with pytest.raises(KeyboardInterrupt):
        build(config)
    resumed = open_run(build(config))
    assert len(calls) == batches + 1, "one batch was lost"
    for table in ("single_neurons", "single_beside"):
        pd.testing.assert_frame_equal(resumed.whole_table(table), whole.whole_table(table), check_exact=True)


def test_a_neuron_alone_is_of_the_same_architecture():
    chosen = NeuronSet(np.array([1, 0]), np.array([2, 5]), 2, 6, widths=(6, 4))
    alone = singles(chosen)
    assert [(ns.layers.tolist(), ns.neurons.tolist(), ns.widths) for ns in alone] == [
        ([1], [2], (6, 4)),
        ([0], [5], (6, 4)),
    ]


def test_rows_say_what_changed():
    n = 20
    answers = pd.concat(
        [
            pd.DataFrame({"condition": c, "prompt_id": range(n), "refused": np.arange(n) < 10 * (c + 1), "cost": -c})
            for c in (-1, 0)
        ]
    )
    ns = NeuronSet(np.array([1]), np.array([2]), 3, 4)
    margins = np.stack([np.zeros(n), np.linspace(1, 2, n)])
    (row,) = single_rows({"ranking": "safety", "direction": "restore"}, [ns], answers, margins, 8)
    assert (row["rank"], row["layer"], row["neuron"], row["n"], row["max_new_tokens"]) == (1, 1, 2, n, 8)
    assert (row["refusal_before"], row["refusal"], row["refusal_change"]) == (0.0, 0.5, 0.5)
    assert (row["cost_before"], row["cost"], row["cost_change"]) == (1.0, 0.0, -1.0)
    assert row["margin"] == pytest.approx(1.5)
    assert row["margin_low"] > 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('ranking = "safety"\nbeside', 'ranking = "lost"\nbeside', "does not define"),
        ('beside = ["ordinary"]', 'beside = ["lost"]', "does not define"),
        ("neurons = 3", "neurons = 0", r"\[single_neurons\]: neurons must be"),
        ("limit = 5", "limits = 5", "unknown setting"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path, old, new, words):
    with pytest.raises(ExplorerError, match=words):
        read_build_config(write_build(tmp_path, CONFIG + STUDY.replace(old, new)))
