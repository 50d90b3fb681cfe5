"""The card of an adapter, measured on a tiny model, against recomputations one text at a time."""

import json

import numpy as np
import pytest
import torch

from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.errors import ExplorerError
from explorer.models.adapters import digest
from explorer.models.pair import load_pair
from explorer.models.pair_file import read_pair_file
from explorer.studies.benchmarks import wikitext
from explorer.training import card_maker as study
from explorer.training.card_maker import WINDOW_TOKENS, CardMaker, CardSettings, held_out_pairs
from explorer.training.cards import read_card
from explorer.training.record import read_record
from tests import tiny, tiny_adapter
from tests.close import assert_close

SUITES = ("redteam_eval", "everyday_eval")
SETTINGS = CardSettings(limit=3, max_new_tokens=6, pairs=2, windows=3, suites=SUITES, scorers=("refusal",))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with datasets, a base model and adapters."""
    place = tmp_path_factory.mktemp("cards")
    tiny.model("llama").save_pretrained(place / "base")
    tiny.tokenizer().save_pretrained(place / "base")
    for folder in ("capability", "preferences"):
        (place / "data" / folder).mkdir(parents=True)
    text = " ".join(f"{i} ships sailed and {i * 7 % 11} came home." for i in range(200))
    (place / "data" / "capability" / "wikitext2_test.txt").write_text(text)
    said = [f"\n\nHuman: Question {i}?\n\nAssistant: " for i in range(6)]
    rows = [json.dumps({"chosen": f"{s}yes, it is so", "rejected": f"{s}no, never"}) for s in said]
    (place / "data" / "preferences" / "hh.jsonl").write_text("\n".join(rows))
    tiny_adapter.write(place / "first", place / "base")
    tiny_adapter.write(place / "second", place / "base", seed=1, pairs=False)
    tiny_adapter.write(place / "ones", place / "base", spread=0.0)
    return place


@pytest.fixture
def maker(place, monkeypatch):
    monkeypatch.setenv("EXPLORER_DATA", str(place / "data"))
    return CardMaker(SETTINGS)


def test_m1_is_measured_once_and_each_adapter_has_its_card(place, maker, monkeypatch):
    asked = []

    def spy(pair, prompts, what, how, **options):
        asked.append("M1" if what.unpatched else "M2")
        return sweep(pair, prompts, what, how, **options)

    monkeypatch.setattr(study, "sweep", spy)
    cards = [maker.make(str(place / name)) for name in ("first", "second")]
    assert (asked.count("M1"), asked.count("M2")) == (2, 4)  # a suite each
    for name, card in zip(("first", "second"), cards, strict=True):
        written = read_card(place / name)
        assert written.sha256 == card.sha256 == digest(place / name)
        assert written.measured["value"].tolist() == pytest.approx(card.measured["value"].tolist())
        raw = json.loads((place / name / "card.json").read_text())
        assert (raw["steps"], raw["examples"]) == (tiny_adapter.STEPS, 60)
        assert f"--limit {SETTINGS.limit} --max-new-tokens {SETTINGS.max_new_tokens}" in raw["command"]
    assert cards[0].value("words", "M1") == cards[1].value("words", "M1")
    assert np.isnan(cards[1].value("implicit_accuracy", "M2"))  # it was trained without pairs


def test_values_equal_a_naive_recomputation(place, maker):
    card = maker.make(str(place / "first"))
    pair = load_pair(read_pair_file(place / "first"), dtype="float32")
    answers = sweep(pair, maker._prompts["everyday_eval"], Columns(), Decoding(SETTINGS.max_new_tokens))
    words = [np.array([len(a.text.split()) for a in out]) for out in (answers.unpatched, answers.aligned)]
    assert card.value("words", "M2", "everyday_eval") == pytest.approx(words[1].mean())
    assert card.value("words", "difference", "everyday_eval") == pytest.approx((words[1] - words[0]).mean())
    losses = []
    for window in wikitext(place / "data" / "capability", SETTINGS.windows, WINDOW_TOKENS):
        ids = torch.tensor([pair.tokenizer(window.text)["input_ids"][:WINDOW_TOKENS]])
        with torch.inference_mode():
            losses.append([float(model(input_ids=ids, labels=ids).loss) for model in (pair.m1, pair.m2)])
    mean = np.mean(losses, axis=0)
    assert_close(np.log(card.value("perplexity", "M1")), mean[0], layers=tiny.LAYERS)
    assert_close(np.log(card.value("perplexity", "ratio")), mean[1] - mean[0], layers=tiny.LAYERS, scale=mean.max())
    implicit = card.measured[card.measured["measure"] == "implicit_accuracy"].iloc[0]
    assert (implicit["suite"], implicit["n"], implicit["tokens"]) == ("hh", 2, 6)


def test_an_adapter_that_changes_nothing_is_measured_so(place, maker):
    card = maker.make(str(place / "ones"))
    differences = card.measured[card.measured["model"] == "difference"]
    assert (differences["value"] == 0).all()
    assert (differences["p"] == 1).all()
    assert card.value("perplexity", "ratio") == 1
    assert card.value("implicit_margin", "M2") == 0


def test_pairs_that_were_trained_on_are_never_measured_on(place):
    pair = load_pair(read_pair_file(place / "first"), dtype="float32")
    (source,) = read_record(place / "first").held_out()
    found = held_out_pairs(pair, place / "data" / "preferences" / "hh.jsonl", source, 100)
    assert [p.turns[-1][1] for p in found] == [f"Question {i}?" for i in range(tiny_adapter.HELD_OUT)]


def test_a_card_that_is_damaged_or_of_other_weights_is_one_sentence(place, maker, tmp_path):
    folder = tiny_adapter.write(tmp_path / "mine", place / "base", seed=3)
    maker.make(str(folder))
    tiny_adapter.write(folder, place / "base", seed=4)
    with pytest.raises(ExplorerError, match="other weights"):
        read_card(folder)
    (folder / "card.json").write_text('{"measured": []}')
    with pytest.raises(ExplorerError, match="damaged"):
        read_card(folder)


def test_missing_data_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv("EXPLORER_DATA", raising=False)
    with pytest.raises(ExplorerError, match="Set EXPLORER_DATA"):
        CardMaker(SETTINGS)
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path))
    with pytest.raises(ExplorerError, match="wikitext2_test"):
        CardMaker(SETTINGS)
