"""Kinds of neurons: segments against a naive reading, clusters of made-up neurons, the stage, and its sentence."""

import numpy as np
import pandas as pd
import pytest

from explorer.engine.inspect import project_together, vocabulary_projection
from explorer.engine.patching import generate
from explorer.engine.reference import naive_activations
from explorer.engine.segments import SEGMENTS, prompt_labels, segment_sums, template_ends
from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.runs.reader import open_run
from explorer.studies import STUDIES
from explorer.studies.clustering import cluster, stability, standardised
from explorer.studies.kinds_words import kinds_sentence
from tests import tiny
from tests.close import assert_close
from tests.tiny_build import CONFIG, write_build

NEW = 5
PROMPTS = tiny.PROMPTS[:4]
STUDY = '[kinds]\nfraction = 0.3\ndraws = 3\nlimit = 5\nanswers = 4\nsuites = ["redteam_eval", "ordinary_eval"]\n'


def test_a_prompt_is_template_instruction_and_last_token():
    names = list(SEGMENTS)
    said = [names[i] for i in prompt_labels(9, (2, 3))]
    assert said == ["before"] * 2 + ["instruction"] * 4 + ["after"] * 2 + ["last"]
    assert [names[i] for i in prompt_labels(3, (0, 0))] == ["instruction"] * 2 + ["last"]
    assert [names[i] for i in prompt_labels(1, (0, 1))] == ["last"]


def test_the_template_is_what_unlike_prompts_share():
    pair = tiny.shared_pair()
    before, behind = template_ends(pair)
    ids = pair.encode("xyz")
    assert len(ids) - before - behind == 3
    assert pair.tokenizer.decode(ids[before : len(ids) - behind]) == "xyz"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "opt", "mixtral", "llama twice", "t5"])
def test_sums_equal_a_naive_reading(kind):
    pair = tiny.any_pair(kind.removesuffix(" twice"), shared=not kind.endswith("twice"))
    ns = NeuronSet.random(pair, 20, seed=1)
    got = segment_sums(pair, PROMPTS, ns, NEW, batch_size=3)
    aligned = generate(pair, PROMPTS, NeuronSet.empty(pair), NEW).aligned
    want = {name: np.zeros((len(SEGMENTS), len(ns))) for name in ("count", "m1", "m2", "square2", "moved")}
    means = []
    for prompt, answer in zip(PROMPTS, aligned, strict=True):
        ids, read = pair.encode(prompt), list(answer.token_ids[:-1])
        first, second = (naive_activations(m, ids, read) for m in (pair.m1, pair.m2))
        labels = {"prompt": prompt_labels(len(ids), template_ends(pair)), "answer": ([4] + [5] * NEW)[: len(read)]}
        means.append([])
        for column, (layer, neuron) in enumerate(zip(ns.layers.tolist(), ns.neurons.tolist(), strict=True)):
            a1, a2 = (seen[layer][:, neuron].double().numpy() for seen in (first, second))
            where = [*labels["prompt"], *labels["answer"]]
            if kind == "t5":
                where = labels["prompt"] if layer in pair.parts["encoder"] else [3, *labels["answer"]]
            for position, segment in enumerate(where):
                want["count"][segment, column] += 1
                want["m1"][segment, column] += a1[position]
                want["m2"][segment, column] += a2[position]
                want["square2"][segment, column] += a2[position] ** 2
                want["moved"][segment, column] += abs(a2[position] - a1[position])
            means[-1].append(np.abs(a2 - a1)[np.array(where) > 0].mean())
    sizes = {"count": 1.0, "square2": want["square2"].max()}
    size = np.sqrt(want["square2"] * want["count"]).max()  # of a sum of values, by Cauchy and Schwarz
    for name, values in want.items():
        assert_close(getattr(got, name), values, layers=tiny.LAYERS, scale=sizes.get(name, size))
    assert_close(got.prompts, np.array(means), layers=tiny.LAYERS, scale=np.sqrt(want["square2"].max()))


def test_one_neuron_together_is_its_own_projection_centred():
    pair = tiny.shared_pair()
    ns = NeuronSet.from_pairs([(1, 3), (2, 5)], pair)
    got = project_together(pair, ns, np.array([[1.0, 0.0], [0.0, 1.0]]), top=4)
    for group, (layer, neuron) in enumerate(((1, 3), (2, 5))):
        alone = vocabulary_projection(pair, layer, neuron, top=4)
        mine = got[got["group"] == group]
        assert mine["token"].tolist() == alone["token"].tolist()
        shift = mine["logit"].to_numpy() - alone["logit"].to_numpy()
        assert_close(shift, np.full(len(shift), shift[0]), layers=1, scale=np.abs(alone["logit"]).max())


def test_a_classifier_writes_no_words():
    pair = tiny.any_pair("bert")
    with pytest.raises(ExplorerError, match="classifier"):
        project_together(pair, NeuronSet.random(pair, 2), np.ones((1, 2)))


def test_neurons_of_three_kinds_are_found_and_stable():
    rng = np.random.default_rng(0)
    centres = np.repeat(np.array([[0, 0], [6, 0], [0, 6]]), [30, 20, 10], axis=0)
    features = standardised(centres + rng.normal(0, 0.5, centres.shape))
    found = cluster(features)
    assert found.k == 3
    assert np.bincount(found.labels).tolist() == [30, 20, 10]
    assert found.silhouettes[3] > 0.7
    assert found.each.mean() == pytest.approx(found.silhouettes[3])
    assert stability(features, found.labels).min() > 0.95


def test_neurons_of_no_kind_are_not_clear():
    features = standardised(np.random.default_rng(0).normal(0, 1, (60, 8)))
    found = cluster(features)
    assert found.silhouettes[found.k] < 0.25
    assert stability(features, found.labels).mean() < 0.8


def test_features_without_spread_or_positions_pull_nowhere():
    values = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [3.0, 5.0, 1.0]])
    scaled = standardised(values)
    assert np.isfinite(scaled).all()
    assert np.abs(scaled[:, 0]).sum() > 0
    assert scaled[:, 1].tolist() == [0, 0, 0]
    assert cluster(np.zeros((20, 3))) is None


def test_a_build_finds_kinds(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    run = open_run(build(read_build_config(write_build(tmp_path, CONFIG + STUDY))))
    tables = {table.name: run.whole_table(table.name) for table in STUDIES["kinds"].tables}
    for table in STUDIES["kinds"].tables:
        assert table.unknown(list(tables[table.name])) == []
        assert table.missing(list(tables[table.name])) == []
    kinds, neurons = tables["kinds"], tables["kinds_neurons"]
    assert neurons["rank"].tolist() == list(range(1, 23))
    assert neurons["kind"].value_counts().to_dict() == dict(zip(kinds["kind"], kinds["neurons"], strict=True))
    assert kinds["score_share"].sum() == pytest.approx(1)
    assert set(kinds["n"]) == {4}
    structure = tables["kinds_structure"]
    assert structure[structure["chosen"]].groupby("set").size().to_dict() == {"safety": 1, "random": 3}
    profile = tables["kinds_profile"]
    whole = profile[(profile["set"] == "safety") & (profile["kind"] == 0)]
    assert set(whole["segment"]) == set(SEGMENTS)
    assert set(tables["kinds_prompts"]["suite"]) <= {"redteam_eval", "ordinary_eval"}
    assert set(tables["kinds_tokens"]["kind"]) == set(kinds["kind"])
    assert STUDIES["kinds"].finding(tables).endswith(").")


def test_a_set_without_kinds_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    few = STUDY.replace("fraction = 0.3", "fraction = 0.05")
    with pytest.raises(ExplorerError, match="too small to look for kinds"):
        build(read_build_config(write_build(tmp_path, CONFIG + few)))


def _kinds(**cells: float) -> pd.DataFrame:
    base = {"ranking": "attribution", "fraction": 0.01, "k": 461, "suite": "redteam_eval", "n": 56, "kind": 1}
    base |= {"max_new_tokens": 24, "neurons": 300, "refusal_m1": 0.02}
    for name, value in {"set": 0.7, "alone": 0.5, "part": 0.4, "without": 0.1, "without_part": 0.3}.items():
        base |= {f"refusal_{name}": value, f"refusal_{name}_low": value - 0.1, f"refusal_{name}_high": value + 0.1}
    for name in ("alone", "without"):
        base |= {f"refusal_{name}_above{end}": v for end, v in (("", 0.1), ("_low", -0.05), ("_high", 0.2))}
    return pd.DataFrame([base | cells])


def _structure(own: float) -> pd.DataFrame:
    rows = [{"set": "attribution", "draw": -1, "silhouette": own}]
    rows += [{"set": "random", "draw": draw, "silhouette": 0.1 + 0.02 * draw} for draw in range(3)]
    return pd.DataFrame(rows).assign(neurons=461, clusters=2, chosen=True, stability=0.9)


@pytest.mark.parametrize(
    ("own", "cells", "says"),
    [
        (0.3, {}, ["part into **2 kinds** more clearly", "not distinguishable from that with as many"]),
        (0.12, {}, ["**No kinds stand out**", "no more clearly than random neurons", "0.10 to 0.14 in 3 draws"]),
        (0.3, {"refusal_alone_above_low": 0.02}, ["alone to 50 % (40–60 %), more than with as many"]),
        (0.3, {"refusal_without_above_high": -0.01}, ["without it to 10 % (0–20 %), less than without as many"]),
    ],
)
def test_the_sentence_can_come_out_either_way(own, cells, says):
    text = kinds_sentence(_kinds(**cells), _structure(own)).replace("\u00a0", " ")
    for part in says:
        assert part in text
