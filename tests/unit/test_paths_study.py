"""The study of paths: parts that add up, its sentence both ways, and a tiny build."""

import numpy as np
import pytest

from explorer import report
from explorer.engine.heads import head_losses
from explorer.engine.keeping import KeptColumn
from explorer.engine.keeping_answers import answers_with_kept
from explorer.engine.paths import path_margins
from explorer.errors import ExplorerError
from explorer.models.pair import load_pair
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.runs.reader import open_run
from explorer.studies.first_tokens import margin_of
from explorer.studies.path_parts import ALL, CHOICES, SUMMANDS, WAYS, change_cells, parts_of
from explorer.studies.paths import Paths, attention_table, strongest_heads
from tests import tiny
from tests.app.small_paths import path_tables
from tests.close import assert_close
from tests.tiny_build import CONFIG, write_build

FIRST = '[first_tokens]\nsuite = "redteam_train"\nlimit = 30\n'
STUDY = '[paths]\nsuite = "redteam_eval"\nranking = "safety"\nbeside = ["ordinary"]\nfraction = 0.2\nlimit = 5\n'


def test_parts_of_paths_that_do_not_meet_are_what_each_does():
    alone = {"patterns": 1.0, "values": 2.0, "mlps": 4.0}
    changes = {kept: np.array([0.5 + sum(alone[path] for path in ALL - kept)]) for kept in CHOICES}
    parts = {name: float(part[0]) for name, part in parts_of(changes).items()}
    assert parts == {"direct": 0.5, **alone, "attention": 3.0, "whole": 7.5, "interaction": 0.0} | {
        "interaction_in_attention": 0.0
    }


def test_what_paths_do_only_together_is_in_both_halves():
    together = ALL - {"patterns"}  # the values and the MLPs
    changes = {kept: np.array([3.0 if together <= ALL - kept else 0.0]) for kept in CHOICES}
    parts = {name: float(part[0]) for name, part in parts_of(changes).items()}
    assert (parts["values"], parts["mlps"], parts["patterns"], parts["direct"]) == (1.5, 1.5, 0.0, 0.0)
    assert parts["interaction"] == 3.0


def test_parts_add_up_whatever_the_changes():
    rng = np.random.default_rng(0)
    parts = parts_of({kept: rng.normal(size=20) for kept in CHOICES})
    assert_close(sum(parts[name] for name in SUMMANDS), parts["whole"], "float64")
    assert_close(parts["patterns"] + parts["values"], parts["attention"], "float64")


def test_a_share_of_nothing_is_not_given():
    cells = change_cells(np.ones(30), np.tile([1.0, -1.0], 15))
    assert (cells["margin"], np.isnan(cells["share"])) == (1.0, True)
    cells = change_cells(np.full(30, 0.5), np.linspace(1.9, 2.1, 30))
    assert cells["share"] == pytest.approx(0.25)
    assert cells["share_low"] <= 0.25 <= cells["share_high"]


def test_the_strongest_heads_count_either_way():
    lost = np.zeros((3, 2, 4))
    lost[1, 0], lost[2, 1], lost[0, 1, 0] = -3.0, 1.0, 2.0
    assert strongest_heads(lost, 3) == ((1, 0), (2, 1), (0, 1))
    assert attention_table({"set": "safety", "suite": "s"}, []).empty


def test_the_finding_comes_out_either_way():
    said = Paths().finding(path_tables()).replace("\u00a0", " ")
    assert "raises" in said
    assert "so none stands out" in said  # attention 40 %, MLPs 40 %
    assert "with attention kept at M1's 56 % (41–71 %)" in said
    assert "lowers" in Paths().finding(path_tables(whole=-4.0))
    assert "no shares" in Paths().finding(path_tables(whole=0.1))
    tables = path_tables()
    direct = tables["paths"]["part"] == "direct"
    for column, value in {"share": 0.9, "share_low": 0.8, "share_high": 0.95}.items():
        tables["paths"].loc[direct, column] = value
    assert "Most of it acts directly." in Paths().finding(tables)
    assert Paths().finding({name: frame.iloc[:0] for name, frame in tables.items()}) == ""


def test_a_build_tells_paths_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    run = open_run(build(read_build_config(write_build(tmp_path, CONFIG + FIRST + STUDY))))
    pair = load_pair(tmp_path / "pair.toml", dtype="float32")
    tables = {table.name: run.whole_table(table.name) for table in Paths.tables}
    for table in Paths.tables:
        frame = tables[table.name]
        assert not frame.empty
        assert table.unknown(list(frame)) == []
        assert table.missing(list(frame)) == []
    ns = run.ranking("safety").top(fraction=0.2)
    random = NeuronSet.random_like(ns, seed=0)
    margin = margin_of(run.whole_table("first_tokens"))
    prompts = tables["paths_answers"].drop_duplicates("prompt_id")["prompt"].tolist()
    ids = [pair.encode(prompt) for prompt in prompts]
    assert len(ids) == 5
    for name, neurons in (("safety", ns), ("random", random)):
        found = path_margins(pair, ids, margin, [KeptColumn(neurons, kept) for kept in CHOICES])
        changes = {kept: found[2 + i] - found[0] for i, kept in enumerate(CHOICES)}
        mine = tables["paths"][tables["paths"]["set"] == name].set_index("part")["margin"]
        scale = float(np.abs(found).max())
        for part, change in parts_of(changes).items():
            assert_close(mine[part], change.mean(), layers=tiny.LAYERS, scale=scale)
        assert mine[list(SUMMANDS)].sum() == pytest.approx(mine["whole"], rel=1e-4, abs=1e-6)
        left = tables["paths_kept"][tables["paths_kept"]["set"] == name].set_index("kept")
        for way, kept in WAYS.items():
            assert_close(left.loc[way, "margin"], changes[kept].mean(), layers=tiny.LAYERS, scale=scale)
        heads = tables["paths_heads"][tables["paths_heads"]["set"] == name]
        lost = head_losses(pair, ids, margin, neurons).mean(axis=-1)
        assert_close(heads["lost"].to_numpy().reshape(lost.shape), lost, layers=tiny.LAYERS, scale=scale)
    answers = tables["paths_answers"]
    got = answers[(answers["set"] == "random") & (answers["kept"] == "mlps")]["answer"].tolist()
    assert got == [a.text for a in answers_with_kept(pair, prompts, [KeptColumn(random, WAYS["mlps"])], 6)[0]]
    looked = tables["paths_attention"].groupby(["prompt_id", "layer", "head", "column"])["weight"].sum()
    assert_close(looked.to_numpy(), np.ones(len(looked)))
    assert looked.index.get_level_values("prompt_id").nunique() == 3
    assert "the refusal margin" in Paths().finding(tables)
    assert "paths" in report.charts(run)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STUDY, r"add that table"),
        (FIRST + STUDY.replace('"safety"', '"lost"'), "does not define"),
        (FIRST + STUDY.replace("fraction = 0.2", "fraction = 2.0"), r"\[paths\]: fraction must be"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path, text, words):
    with pytest.raises(ExplorerError, match=words):
        read_build_config(write_build(tmp_path, CONFIG + text))
