"""The Models page: pairs of files, a form that writes one, loading, and a whole build on two local checkpoints."""

import time

import pandas as pd
import pytest

from explorer.models.pair_file import read_pair_file
from explorer.runs.reader import open_run
from explorer.runs.writer import RunWriter
from explorer.serve import builds
from explorer.training.cards import MEASURED, write_card
from explorer.training.record import read_record
from explorer.ui.pages import PAGES
from tests import tiny, tiny_adapter

MODELS = next(entry.file for entry in PAGES if entry.url_path == "models")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two different checkpoints in local folders."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, seed in (("first", 0), ("second", 1)):
        tiny.model("llama", seed).save_pretrained(folder / name)
        tiny.tokenizer().save_pretrained(folder / name)
    return folder


@pytest.fixture
def pairs(tmp_path, monkeypatch, checkpoints):
    """A person's folder of pair files, with one of two checkpoints, and an empty folder of runs."""
    monkeypatch.setenv("EXPLORER_PAIRS", str(tmp_path / "pairs"))
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "runs"))
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "two.toml").write_text(
        f'dtype = "float32"\n[m1]\nbase = "{checkpoints / "first"}"\n[m2]\nbase = "{checkpoints / "second"}"\n'
    )
    return tmp_path


def until(app, condition, seconds: float = 240.0):
    """Run the page again until it shows what is waited for."""
    end = time.monotonic() + seconds
    while not condition(app):
        assert time.monotonic() < end, [m.value for m in [*app.error, *app.markdown]]
        time.sleep(0.3)
        app.run()
        assert [e.value for e in app.exception] == []
    return app


def test_the_shipped_pairs_and_a_person_s_own_can_be_chosen(pairs, open_page):
    app = open_page(MODELS, pair="two")
    assert app.selectbox(key="pair").options[0] == "demo"
    assert app.selectbox(key="pair").value == "two"
    assert "first" in app.dataframe[0].value["Value"][0]


def test_a_pair_of_two_checkpoints_is_loaded_shown_and_released(pairs, open_page):
    app = open_page(MODELS, pair="two")
    app.button(key="load").click().run()
    until(app, lambda a: len(a.metric) == 4)
    values = {m.label: m.value for m in app.metric}
    assert values["Layers"] == str(tiny.LAYERS)
    assert values["Neurons"] == str(tiny.LAYERS * tiny.NEURONS)
    assert values["Computes in"] == "float32"
    assert any("two models in lockstep" in c.value for c in app.caption)
    app.button(key="release").click().run()
    assert not app.metric
    assert app.button(key="load").label == "Load"


def test_a_form_writes_a_pair_file_that_can_be_read(pairs, open_page, checkpoints):
    app = open_page(MODELS, pair="two")
    app.text_input(key="pair_name").set_value("mine")
    app.text_input(key="m1_base").set_value(str(checkpoints / "first"))
    app.text_input(key="m2_base").set_value(str(checkpoints / "second"))
    app.text_area(key="m2_adapters").set_value("org/one\n\norg/two")
    next(b for b in app.button if b.label == "Write the pair file").click().run()
    assert not app.error
    spec = read_pair_file("mine")
    assert spec.m2.adapters == ("org/one", "org/two")
    assert (spec.device, spec.dtype) == ("cpu", "auto")
    next(b for b in app.button if b.label == "Write the pair file").click().run()
    assert "already" in app.error[0].value


@pytest.mark.parametrize(("name", "base", "words"), [("../x", "b", "cannot be the name"), ("x", "", "is empty")])
def test_a_wrong_form_is_one_sentence(pairs, open_page, name, base, words):
    app = open_page(MODELS, pair="two")
    app.text_input(key="pair_name").set_value(name)
    app.text_input(key="m1_base").set_value(base)
    app.text_input(key="m2_base").set_value("b")
    next(b for b in app.button if b.label == "Write the pair file").click().run()
    assert words in app.error[0].value
    assert sorted(p.name for p in (pairs / "pairs").glob("*.toml")) == ["two.toml"]


def test_a_model_that_cannot_be_loaded_is_one_sentence(pairs, open_page):
    (pairs / "pairs" / "lost.toml").write_text('[m1]\nbase = "/lost"\n[m2]\nbase = "/lost"\n')
    app = open_page(MODELS, pair="lost")
    app.button(key="load").click().run()
    until(app, lambda a: a.error)
    assert "could not be loaded" in app.error[0].value


def test_a_whole_build_on_two_checkpoints_goes_on_at_the_build_page(pairs, open_page):
    app = open_page(MODELS, pair="two")
    app.text_input(key="run_name").set_value("mine")
    app.number_input(key="run_prompts").set_value(4)
    app.number_input(key="run_tokens").set_value(4)
    next(b for b in app.button if b.label == "Build a run").click().run()
    assert not app.error
    assert app.title[0].value == "Build a run"
    assert app.selectbox(key="config").value == "mine"
    end = time.monotonic() + 240
    file = pairs / "pairs" / "builds" / "mine.toml"
    while builds.look(file).active:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert builds.look(file).state == "done", builds.look(file).problem
    run = open_run(pairs / "runs" / "mine")
    assert run.check() == []
    assert run.manifest["pair"]["shared"] is False
    assert {"answers", "effect", "models"} <= set(run.tables)


@pytest.mark.parametrize(("name", "words"), [("demo", "ships with the project"), ("../x", "cannot be the name")])
def test_a_run_cannot_take_any_name(pairs, open_page, name, words):
    app = open_page(MODELS, pair="two")
    app.text_input(key="run_name").set_value(name)
    next(b for b in app.button if b.label == "Build a run").click().run()
    assert words in app.error[0].value
    assert not (pairs / "pairs" / "builds").exists()


@pytest.fixture
def adapters(pairs, monkeypatch):
    """A folder of two adapters of which one has a card."""
    shipped = pairs / "shipped"
    for name in ("first", "second"):
        tiny_adapter.write(shipped / name, pairs / "base")
    rows = [
        ("refusal", "redteam", "M1", 0.0),
        ("refusal", "redteam", "M2", 0.88),
        ("refusal", "redteam", "difference", 0.88),
        ("perplexity", "wikitext2", "ratio", 1.25),
    ]
    measured = pd.DataFrame(rows, columns=["measure", "suite", "model", "value"]).assign(n=100, tokens=32)
    measured = measured.assign(value_low=measured["value"], value_high=measured["value"]).reindex(columns=MEASURED)
    write_card(shipped / "first", read_record(shipped / "first"), measured, "explorer card first", {})
    monkeypatch.setattr("explorer.models.shipped.SHIPPED", shipped)
    return shipped


def test_the_shipped_adapters_stand_in_one_table(adapters, open_page):
    app = open_page(MODELS, pair="two")
    table = next(d.value for d in app.dataframe if "Trained on" in d.value)
    assert table["Adapter"].tolist() == ["first", "second"]
    assert table["Refuses red-team"].tolist() == ["0\u00a0%\u00a0→\u00a088\u00a0%", ""]
    assert table["Reward, everyday"].tolist() == ["", ""]
    assert table["Perplexity, M2 / M1"].tolist()[0] == 1.25
    assert table["Steps"].tolist() == [tiny_adapter.STEPS] * 2
    assert {"first", "second"} < set(app.selectbox(key="pair").options)


def test_an_adapter_s_card_has_its_curves_and_its_command(adapters, open_page):
    app = open_page(MODELS, pair="two", adapter="first")
    assert "explorer card first" in [c.value for c in app.code]
    assert "M2 − M1" in next(d.value for d in app.dataframe if "Measure" in d.value)["Of"].tolist()
    assert len(app.get("vega_lite_chart")) == 3  # loss, margin, accuracy
    app.selectbox(key="adapter").set_value("second").run()
    assert [e.value for e in app.exception] == []
    assert any("explorer card second" in c.value for c in app.code)


def test_a_card_of_other_weights_is_one_sentence(adapters, open_page):
    tiny_adapter.write(adapters / "first", adapters.parent / "base", seed=9)
    app = open_page(MODELS, pair="two")
    assert "other weights" in app.error[0].value


TRAINING = next(entry.file for entry in PAGES if entry.url_path == "training")


def test_the_training_page_says_what_is_missing(runs, open_page):
    assert "no checkpoints" in open_page(TRAINING).markdown[0].value


def test_the_training_page_shows_a_series(small_run, tmp_path, monkeypatch, open_page):
    steps = [10, 20, 40]
    rates = {f"refusal_{m}{end}": [0.1, 0.4, 0.8] for m in ("m1", "m2", "patched") for end in ("", "_low", "_high")}
    frame = pd.DataFrame(
        {
            "step": steps,
            "fraction": 0.05,
            "k": 12,
            "n": 8,
            "max_new_tokens": 16,
            "overlap": [0.4, 0.8, 1.0],
            "chance": 0.05,
            "spearman": [0.2, 0.5, 1.0],
            "effect_refusal": [float("nan"), 0.5, 0.9],
            "effect_refusal_low": [float("nan"), -0.1, 0.5],
            **rates,
        }
    )
    frame = pd.concat([frame, frame.assign(fraction=0.2)])
    run = open_run(small_run)
    writer = RunWriter(tmp_path / ".work")
    about = {name: writer.change_scores(name, run.change_scores(name)) for name in run.rankings}
    writer.table("series", frame)
    kept = {key: run.manifest[key] for key in ("name", "title", "pair", "suites", "scorers", "decoding")}
    writer.publish({**kept, "rankings": about}, tmp_path / "runs" / "along")
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "runs"))
    app = open_page(TRAINING)
    assert not app.error
    assert "At step **10**" in app.markdown[0].value
    assert "distinguishable from 0 only at step 40" in app.markdown[0].value
    assert len(app.get("vega_lite_chart")) == 2
