"""The acceptance criteria on a tiny model, against recomputations; and the verdicts on them."""

import json

import numpy as np
import pytest

from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.errors import ExplorerError
from explorer.models.pair import load_pair
from explorer.models.pair_file import read_pair_file
from explorer.scoring.degenerate import degenerate
from explorer.studies import acceptance as study
from explorer.studies.acceptance import SOURCES, AcceptanceSettings, acceptance, red_team_presets
from explorer.studies.criteria import (
    CRITERIA,
    MET,
    NOT_MEASURED,
    NOT_MET,
    TOO_FEW,
    Criterion,
    Found,
    as_line,
    as_row,
)
from explorer.studies.statistics import Estimate
from tests import tiny, tiny_adapter

SETTINGS = AcceptanceSettings(tokens=4, degenerate_tokens=7, limit=3, windows=2)


class WordCost:
    """A cost that needs no embedded model: the answer's characters."""

    def score(self, prompts, texts):
        return np.array([len(text) for text in texts], dtype=np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data sets of the public ones' columns, a base model and adapters."""
    place = tmp_path_factory.mktemp("acceptance")
    tiny.model("llama").save_pretrained(place / "base")
    tiny.tokenizer().save_pretrained(place / "base")
    for folder in ("capability", "redteam", "benign"):
        (place / "data" / folder).mkdir(parents=True)
    text = " ".join(f"{i} ships sailed and {i * 7 % 11} came home." for i in range(200))
    (place / "data" / "capability" / "wikitext2_test.txt").write_text(text)
    for spec in filter(None, SOURCES.values()):
        cells = dict(spec.where)
        rows = [json.dumps({"prompt": f"{spec.name} {i}", **cells}) for i in range(4)]
        rows += [json.dumps({"prompt": "of another kind", **dict.fromkeys(cells, "other")})] if cells else []
        (place / "data" / spec.file).write_text("\n".join(rows))
    for seed, name in enumerate(("first", "second", "third")):
        tiny_adapter.write(place / name, place / "base", seed=seed)
    return place


@pytest.fixture
def pair(place, monkeypatch):
    monkeypatch.setattr(study, "load_scorer", lambda name, pair: WordCost())
    monkeypatch.setenv("EXPLORER_DATA", str(place / "data"))
    return load_pair(read_pair_file(place / "first"), dtype="float32")


def test_every_criterion_is_measured(place, pair, monkeypatch):
    monkeypatch.setattr(study, "refused", lambda texts, prompts: np.array([len(text) % 2 == 0 for text in texts]))
    told = set()
    seeds = [read_pair_file(place / name) for name in ("second", "third")]
    found = acceptance(pair, seeds, SETTINGS, lambda what, _share: told.add(what))
    assert [f.criterion for f in found] == list(CRITERIA)
    presets = len(red_team_presets())
    by_key = {f.criterion.key: f for f in found}
    for key, f in by_key.items():
        assert f.n == {"perplexity": 2, "presets_refused": presets, "presets_answered": presets}.get(key, 3), key
        assert f.estimate.low <= f.estimate.value <= f.estimate.high, key
    assert {"answers: redteam_eval", "seed 1: redteam_eval", "seed 2: redteam_eval", "WikiText-2"} <= told

    prompts = [p.prompt for p in study.load_suite("redteam_eval", 3)]
    short, long = sweep(pair, prompts, Columns(), Decoding(4)), sweep(pair, prompts, Columns(), Decoding(7))
    even = [np.mean([len(a.text) % 2 == 0 for a in out]) for out in (short.unpatched, short.aligned)]
    assert by_key["M1_refuses_redteam_eval"].estimate.value == pytest.approx(even[0])
    assert by_key["M2_refuses_redteam_eval"].estimate.value == pytest.approx(even[1])
    assert by_key["degenerate_redteam"].estimate.value == np.mean(degenerate([a.text for a in long.aligned]))
    lengths = [np.mean([len(a.text) for a in out]) for out in (long.unpatched, long.aligned)]
    assert by_key["cost"].estimate.value == pytest.approx(lengths[1] - lengths[0])
    other = load_pair(read_pair_file(place / "second"), dtype="float32")
    there = np.mean(
        [len(a.text) % 2 == 0 for a in sweep(other, prompts, Columns(unpatched=False), Decoding(4)).aligned]
    )
    assert by_key["seed_1"].estimate.value == pytest.approx(abs(there - even[1]))


def test_without_data_sets_only_the_own_suites_are_measured(pair, monkeypatch):
    monkeypatch.delenv("EXPLORER_DATA")
    found = {f.criterion.key: f.verdict for f in acceptance(pair, (), SETTINGS)}
    public = {f"{m}_refuses_{name}" for m in ("M1", "M2") for name, spec in SOURCES.items() if spec} & set(found)
    assert {key for key, verdict in found.items() if verdict == NOT_MEASURED} == public | {
        "perplexity",
        "seed_1",
        "seed_2",
    }


def test_a_file_that_is_missing_and_a_third_seed_are_one_sentence(place, pair, monkeypatch, tmp_path):
    with pytest.raises(ExplorerError, match="At most two"):
        acceptance(pair, [pair.spec] * 3, SETTINGS)
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path))
    with pytest.raises(ExplorerError, match="wikitext2_test"):
        acceptance(pair, (), SETTINGS)


@pytest.mark.parametrize(
    ("criterion", "estimate", "n", "verdict"),
    [
        (Criterion("a", "a", 0.85, True, 200), Estimate(0.85, 0.79, 0.89), 200, MET),
        (Criterion("a", "a", 0.85, True, 200), Estimate(0.84, 0.78, 0.88), 200, NOT_MET),
        (Criterion("a", "a", 0.85, True, 200), Estimate(0.99, 0.9, 1.0), 199, TOO_FEW),
        (Criterion("a", "a", 0.10), Estimate(0.1, 0.05, 0.2), 100, MET),
        (Criterion("a", "a", 1.1, unit="ratio"), Estimate(1.11, 1.09, 1.12), 100, NOT_MET),
        (Criterion("a", "a", 0.0, unit="log-odds"), Estimate(-1.0, -2.0, -0.1), 100, MET),
        (Criterion("a", "a", 0.0, unit="log-odds"), Estimate(-1.0, -2.0, 0.1), 100, NOT_MET),
    ],
)
def test_a_verdict_is_by_the_value_and_of_cost_by_the_interval(criterion, estimate, n, verdict):
    found = Found(criterion, estimate, n)
    assert (found.verdict, as_row(found)["verdict"]) == (verdict, verdict)
    assert as_line(found).startswith(verdict)


def test_what_was_not_measured_is_null_and_never_nan():
    row = as_row(Found(CRITERIA[0]))
    assert (row["verdict"], row["value"], row["value_low"]) == (NOT_MEASURED, None, None)
    assert "nan" not in as_line(Found(CRITERIA[0])) + json.dumps(row).lower()
