"""Direct logit attribution and the logit lens as studies: tables, sentences either way, and a tiny build."""

import numpy as np
import pytest

from explorer.engine.logit_attribution import attribute_margin
from explorer.engine.logit_lens import lens_margins, text_lens
from explorer.engine.reading import TokenText
from explorer.errors import ExplorerError
from explorer.models.pair import load_pair
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.report.run_charts import chart
from explorer.runs.reader import open_run
from explorer.studies.first_tokens import margin_of
from explorer.studies.logit_attribution import ALL, LogitAttribution
from explorer.studies.logit_lens import LogitLens, half_from, parts_from
from tests import tiny
from tests.close import assert_close
from tests.tiny_build import CONFIG, write_build
from tests.unit.small_logits import LAYERS, TOTALS, N, attribution_tables, lens_tables
from tests.unit.test_logit_attribution import MARGIN, logits_with

SETTINGS = 'suite = "redteam_eval"\nranking = "safety"\nbeside = ["ordinary"]\nfraction = 0.2\nlimit = 5\n'
FIRST = '[first_tokens]\nsuite = "ordinary_eval"\nlimit = 20\n'
STUDIES = f"{FIRST}[logit_attribution]\n{SETTINGS}neurons = 4\n[logit_lens]\n{SETTINGS}examples = 2\n"


def said_of(study, tables) -> str:
    return study.finding(tables).replace("\u00a0", " ")


def test_parts_of_all_layers_and_their_shares():
    table = attribution_tables(0.8)["logit_attribution"]
    whole = table[(table["layer"] == ALL) & (table["set"] == "attribution")].set_index("part")
    assert list(whole.index) == ["direct", "attention", "total"]  # what is 0 throughout has no rows
    assert whole.loc["direct", "share"] == pytest.approx(0.8)
    assert whole.loc["direct", "effect"] == pytest.approx(0.64)
    assert whole["margin"].iloc[:2].sum() == pytest.approx(whole.loc["total", "margin"])
    layers = table[(table["set"] == "attribution") & (table["part"] == "direct") & (table["layer"] != ALL)]
    assert layers["margin"].round(6).tolist() == [0.0, 0.0, 3.2]
    assert layers["margin_high"].iloc[0] == 0


def test_the_neurons_that_write_most_come_first():
    neurons = attribution_tables()["logit_attribution_neurons"]
    mine = neurons[neurons["set"] == "attribution"]
    assert list(zip(mine["layer"], mine["neuron"], strict=True)) == [(2, 5), (2, 7)]
    assert mine["change"].tolist() == [-2.0, -2.0]


def test_the_finding_of_direct_attribution_comes_out_either_way():
    most = said_of(LogitAttribution(), attribution_tables(0.8))
    assert "raises the refusal margin of the first token by +4.00 logits" in most
    assert "write **80 %** of that" in most
    assert "straight to the logits, most of it; the rest" in most
    assert "random neurons of the same layers: 0.00 logits" in most
    assert "not distinguishable from 0" in most
    assert f"n = {N}" in most
    assert "M2: +5.00 logits" in most
    assert "less than half; the rest" in said_of(LogitAttribution(), attribution_tables(0.1))
    lower = said_of(LogitAttribution(), attribution_tables(0.8, TOTALS | {"attribution": -2.0}))
    assert "lowers the refusal margin of the first token by −2.00 logits" in lower
    nothing = said_of(LogitAttribution(), attribution_tables(0.8, TOTALS | {"attribution": 0.0}))
    assert "does not distinguishably change" in nothing
    assert "**" not in nothing


def test_the_finding_of_the_lens_comes_out_either_way():
    said = said_of(LogitLens(), lens_tables())
    assert "above M1's from layer **1** on in M1 patched with the top set by attribution (+4.00 logits" in said
    assert "half of it from layer 2 on, beyond random neurons' from layer 1 on" in said
    assert "not distinguishably above M1's in M1 patched with random neurons of the same layers" in said
    assert "from layer **1** on in M2 (+5.00 logits" in said
    assert "M1's own margin at the end is +1.00 logits" in said
    alike = said_of(LogitLens(), lens_tables(TOTALS | {"random": 6.0}))
    assert "at the end, half of it from layer 2 on, never beyond random neurons')" in alike
    below = said_of(LogitLens(), lens_tables(TOTALS | {"attribution": -1.0}))
    assert "not distinguishably above M1's in M1 patched with the top set by attribution (−1.00 logits" in below


def test_layers_from_which_on():
    table = lens_tables()["logit_lens"]
    mine = table[table["model"] == "attribution"].sort_values("layer")
    assert (parts_from(mine), half_from(mine)) == (1, 2)
    assert parts_from(mine.assign(change_low=1.0)) == -1
    assert parts_from(mine.assign(change_low=-1.0)) is None


@pytest.mark.parametrize("kind", ["llama", "gemma2", "t5", "mixtral"])
def test_the_lens_ends_with_the_models_own_margins(kind):
    pair = tiny.any_pair(kind, shared=False)
    ids = [pair.encode(prompt) for prompt in tiny.PROMPTS[:3]]
    got = lens_margins(pair, ids, MARGIN, [NeuronSet.random(pair, 20, seed=1)])
    for row, model in ((0, pair.m1), (2, pair.m2)):
        wanted = [float(MARGIN.of(logits_with(model, one, lambda _l, _h: None, []))) for one in ids]
        assert_close(got[row, -1], wanted, layers=pair.n_layers, scale=10)
    if kind != "t5":
        assert_close(text_lens(pair, TokenText(ids[0]), MARGIN, [])[0, :, -1], got[0, :, 0], layers=3, scale=10)


def test_a_build_holds_both_studies(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    folder = build(read_build_config(write_build(tmp_path, CONFIG + STUDIES)))
    run, pair = open_run(folder), load_pair(tmp_path / "pair.toml", dtype="float32")
    for study in (LogitAttribution(), LogitLens()):
        tables = {table.name: run.whole_table(table.name) for table in study.tables}
        for table in study.tables:
            assert table.unknown(list(tables[table.name])) == table.missing(list(tables[table.name])) == []
        assert "n = 5" in study.finding(tables)
        assert chart(run, study.name).to_dict(validate=True)
    prompts = run.whole_table("logit_attribution_prompts")
    margin = margin_of(run.whole_table("first_tokens"))
    texts = prompts[prompts["set"] == "m2"]["prompt"].tolist()
    ids, ns = [pair.encode(text) for text in texts], run.ranking("safety").top(fraction=0.2)
    found = attribute_margin(pair, ids, margin, [ns])
    assert_close(prompts[prompts["set"] == "safety"]["total"], found.total[0], layers=3, scale=10)
    neurons = run.whole_table("logit_attribution_neurons")
    first = neurons[neurons["set"] == "safety"].iloc[0]
    at = np.flatnonzero((ns.layers == first["layer"]) & (ns.neurons == first["neuron"]))
    assert_close(first["direct"], found.by_neuron[0][at].mean(), scale=float(np.abs(found.total).max()))
    assert len(str(first["promotes"]).split(", ")) >= 5
    tokens = run.whole_table("logit_lens_tokens")
    assert tokens["prompt_id"].nunique() == 2
    assert set(tokens["model"]) == {"m1", "safety", "ordinary", "random", "m2"}
    assert sorted(tokens["layer"].unique()) == list(range(-1, LAYERS))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (FIRST, "", r"\[logit_attribution\] reads the margin of the table \[first_tokens\]"),
        ('ranking = "safety"', 'ranking = "lost"', "does not define"),
        ("neurons = 4", "neurons = 0", r"\[logit_attribution\]: neurons must be"),
        ("examples = 2", "examples = 99", r"\[logit_lens\]: examples must be"),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path, old, new, words):
    with pytest.raises(ExplorerError, match=words):
        read_build_config(write_build(tmp_path, CONFIG + STUDIES.replace(old, new)))
