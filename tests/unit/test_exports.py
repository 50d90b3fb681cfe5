"""Answers as files and as code, and answers that are kept for links."""

import csv
import io
import json
import os
from dataclasses import asdict, replace

import numpy as np
import pytest

from explorer.digests import digest
from explorer.errors import ExplorerError
from explorer.neurons.scores import ChangeScores
from explorer.neurons.sets import NeuronSet
from explorer.serve import snapshots
from explorer.serve.exports import to_code, to_csv, to_json, to_markdown
from explorer.serve.generation import Column, End, Request
from explorer.serve.history import MOST_LISTED, Record, columns_of, record, set_digest
from explorer.serve.snapshots import load, save

REFUSAL = "I can't help with that."


@pytest.fixture
def scores() -> ChangeScores:
    values = np.random.default_rng(0).random((4, 50)).astype(np.float32)
    return ChangeScores(values, 10, values, values, values, values, label="safety")


def kept(scores: ChangeScores, text: str = "Sure, here it is.", **settings: str) -> Record:
    ns = scores.top(10)
    columns = {
        "unpatched": Column(text, 5, End.LIMIT, 1.25, False, 0.5),
        "patched": Column(REFUSAL, 7, End.TOKEN, -3.25, True, None),
        "control": Column(text, 5, End.LIMIT, None, False, 0.5),
        "aligned": Column(REFUSAL, 7, End.TOKEN, -4.0, True, 1.0),
    }
    origin = {"run": "demo", "run_path": "cache/demo", "pair": "demo", "ranking_sha256": "ab", "m1": "base sha256 cd"}
    about = {"ranking": "safety", "kind": "top"}
    control = NeuronSet.random_like(ns, seed=0)
    asked = Request("=HYPERLINK()\n```\nHow?", ns, 16, about, control=control, settings=settings, origin=origin)
    return record("x1", columns, asked)


def test_a_record_names_its_neurons_and_verdicts(scores) -> None:
    found = kept(scores)
    assert found.neuron_list.split()[0] == f"{scores.top(1).layers[0]}.{scores.top(1).neurons[0]}"
    assert len(found.neuron_list.split()) == found.neurons == 10
    assert found.neurons_sha256 == set_digest(scores.top(10))
    assert found.neurons_sha256 != set_digest(scores.top(11))
    assert found.verdicts == {
        "unpatched": "answered", "patched": "refused", "control": "answered", "aligned": "refused"
    }  # fmt: skip
    assert found.control.startswith("random")
    back = columns_of(found)
    assert back["patched"] == Column(REFUSAL, 7, End.TOKEN, -3.25, True, None)
    assert list(back) == ["unpatched", "patched", "control", "aligned"]


def test_a_large_set_is_named_by_its_digest_alone() -> None:
    values = np.random.default_rng(0).random((4, MOST_LISTED)).astype(np.float32)
    wide = ChangeScores(values, 10, values, values, values, values)
    found = record("x", {}, Request("p", wide.top(MOST_LISTED + 1), 16))
    assert (found.neuron_list, len(found.neurons_sha256)) == ("", 64)


def test_csv_and_json_hold_origin_verdicts_and_neurons(scores) -> None:
    found = kept(scores, seed="3")
    row = next(csv.DictReader(io.StringIO(to_csv([found]))))
    assert (row["verdict_patched"], row["cost_control"], row["origin_ranking_sha256"]) == ("refused", "", "ab")
    assert row["neuron_list"] == found.neuron_list
    assert json.loads(row["settings"]) == {"seed": "3"}
    assert json.loads(to_json([found]))[0]["origin"]["run"] == "demo"


def test_the_report_holds_what_is_needed_and_text_stays_text(scores) -> None:
    report = to_markdown(kept(scores))
    assert "| Patched M1 | refused | −3.2 | – | 7 |" in report
    assert "| M1 with random neurons patched | answered | – | +0.5 | 5 |" in report
    assert "````text\n=HYPERLINK()\n```\nHow?\n````" in report  # the fence is longer than any in the text
    for part in ("SHA-256", "base sha256 cd", "greedy, up to 16 tokens", "explorer.generate(", "## Neurons"):
        assert part in report


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"fraction": "0.05"}, "neurons = ranking.top(fraction=0.05)"),
        ({"set": "random", "seed": "4"}, "NeuronSet.random_like(ranking.top(fraction=0.01), seed=4)"),
        ({"set": "anywhere"}, "NeuronSet.random(ranking, 10, seed=0)"),
        ({"set": "layer", "layer": "2"}, "NeuronSet.layer(ranking, 2)"),
        ({"set": "window", "rank": "11"}, "ranking.window(10, 10)"),
        ({"set": "list"}, "NeuronSet.parse("),
        ({"part": "shared", "with": "helpful"}, "ranking.top(fraction=0.01) & other"),
        ({"part": "without", "with": "helpful"}, "ranking.top(fraction=0.01) - other"),
    ],
)
def test_every_kind_of_set_has_its_code(scores, settings, line) -> None:
    code = to_code(kept(scores, **settings))
    assert line in code
    compile(code, "snippet", "exec")
    assert "pair.reversed()" in to_code(replace(kept(scores, **settings), direction="break"))


# -- links ----------------------------------------------------------------------------------------


@pytest.fixture
def links(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path))
    return tmp_path / "links"


def test_kept_answers_come_back_as_they_were(scores, links) -> None:
    found = kept(scores)
    name = save(found)
    assert len(name) == 16
    assert load(name) == found
    assert save(found) == name  # the same answers are kept once
    assert len(list(links.iterdir())) == 1


@pytest.mark.parametrize("name", ["", "../demo", "g" * 16, "0" * 17, "0123456789ABCDEF"])
def test_a_name_that_is_none_is_refused(links, name) -> None:
    with pytest.raises(ExplorerError, match="names no answers"):
        load(name)


def test_answers_that_are_gone_or_damaged_say_so(scores, links) -> None:
    with pytest.raises(ExplorerError, match="no longer kept"):
        load("0" * 16)
    name = save(kept(scores))
    file = links / f"{name}.json"
    for broken in ("[]", "{}", "not json", json.dumps(asdict(kept(scores, "other text")))):
        file.write_text(broken)
        with pytest.raises(ExplorerError, match=r"damaged|no longer kept"):
            load(name)
    value = asdict(kept(scores)) | {"texts": {"unpatched": 3}}
    name = digest(value)[:16]
    (links / f"{name}.json").write_text(json.dumps(value))
    with pytest.raises(ExplorerError, match="damaged"):
        load(name)


def test_only_so_many_are_kept_and_none_too_long(scores, links, monkeypatch) -> None:
    monkeypatch.setattr(snapshots, "MOST", 3)
    names = []
    for number in range(5):
        names.append(save(kept(scores, f"answer {number}")))
        os.utime(links / f"{names[-1]}.json", (number, number))
    assert sorted(file.stem for file in links.glob("*.json")) == sorted(names[-3:])
    with pytest.raises(ExplorerError, match="too long"):
        save(kept(scores, "x" * snapshots.LARGEST))
