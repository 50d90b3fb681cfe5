"""Labelled answers and how the scores are held against them."""

import json

import numpy as np
import pytest

from explorer import paths
from explorer.scoring import labelled
from explorer.scoring.agreement_file import FILE
from explorer.studies import agreement


@pytest.fixture
def data(tmp_path):
    """A folder of data sets with rows of the published form."""
    (tmp_path / "judge").mkdir()
    rows = [{"question": str(i % 4), "Response": f"answer {i}", "label": str(i % 2)} for i in range(40)]
    (tmp_path / "judge" / "gptfuzz_train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "preferences").mkdir()
    pairs = [
        {
            "chosen": f"\n\nHuman: ask {i}\n\nAssistant: good {i}",
            "rejected": f"\n\nHuman: ask {i}\n\nAssistant: bad {i}",
        }
        for i in range(260)
    ]
    (tmp_path / "preferences" / "webgpt.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    return tmp_path


def test_a_sample_takes_as_many_answers_of_each_question(data):
    found = labelled.gptfuzz(data, "train", 3)
    assert len(found.texts) == 12
    assert {q: found.groups.count(q) for q in "0123"} == dict.fromkeys("0123", 3)
    assert not found.knows_prompts
    assert found == labelled.gptfuzz(data, "train", 3)
    assert len(labelled.gptfuzz(data, "train").texts) == 40


def test_held_out_pairs_are_never_fitted_on(data):
    kept = labelled.preferred(data, "webgpt", True, 1000)
    fitted = labelled.preferred(data, "webgpt", False, 1000)
    assert len(kept.texts) == 2 * labelled.HELD_OUT["webgpt"]
    assert len(fitted.texts) == 2 * 10
    assert not set(kept.texts) & set(fitted.texts)
    assert fitted.texts[:2] == ("good 250", "bad 250")
    assert fitted.labels[:2] == (1, 0)


def test_own_labels_leave_out_what_is_in_doubt():
    found = labelled.model_answers()
    lines = (paths.HEADS / "model_answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(found.texts) == sum(not json.loads(line)["doubt"] for line in lines)
    assert set(found.labels) == {0, 1}


def test_no_help_is_never_preferred():
    found = labelled.unhelpful()
    assert found.labels[:2] == (1, 0)
    assert all(good != bad for good, bad in zip(found.texts[::2], found.texts[1::2], strict=True))


def test_calibration_compares_probabilities_with_shares():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 3, size=4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-scores))).astype(int)
    rows = agreement._calibration("made", labels, scores)
    assert sum(row["n"] for row in rows) == 4000
    assert all(abs(row["predicted"] - row["observed"]) < 0.06 for row in rows)


def test_degenerate_never_gets_a_good_cost():
    source = labelled.Labelled("x", ("", ""), ("round and " * 20, "I can't help with that."), (0, 0), ("a", "b"))
    assert agreement._floor(source, np.array([-4.0, -4.0])).tolist() == [0.0, -4.0]


def test_what_ships_agrees_with_people():
    """The goals of the heads, on questions that they were not fitted on."""
    found = json.loads((paths.HEADS / FILE).read_text(encoding="utf-8"))
    auroc = {(row["head"], row["set"]): row for row in found["auroc"]}
    assert auroc["demo-cost", "gptfuzz_evaluate"]["low"] > 0.93
    assert auroc["demo-cost", "own_written"]["auroc"] > 0.93
    assert auroc["demo-reward", "hh_helpful"]["low"] > 0.5
