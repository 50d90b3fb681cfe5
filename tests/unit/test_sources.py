"""Prompts out of files and of the hub's data sets: the published schemas, and the local rows of the same ones."""

import os
from pathlib import Path

import pytest
from datasets import Dataset

from explorer.data.sources import KNOWN, load_source
from explorer.data.suite_spec import SuiteSpec
from explorer.errors import ExplorerError
from explorer.paths import PROJECT

DATA = Path(os.environ.get("EXPLORER_DATA") or PROJECT.parent / "shared" / "data")

# file, where, rows of it, distinct prompts at least, has categories
LOCAL = [
    ("redteam/beavertails_evaluation.jsonl", {}, 690, True),
    ("redteam/harmbench_test.jsonl", {"FunctionalCategory": "standard"}, 100, True),
    ("redteam/jailbreakbench.jsonl", {}, 100, True),
    ("redteam/advbench.jsonl", {}, 510, False),
    ("redteam/simple_safety_tests.jsonl", {}, 100, True),
    ("redteam/do_not_answer.jsonl", {}, 930, True),
    ("benign/xstest_prompts.jsonl", {"label": "safe"}, 240, True),
    ("benign/harmless_instructions.jsonl", {}, 590, False),
    ("preferences/hh_harmless.jsonl", {}, 1000, False),
    ("preferences/hh_helpful.jsonl", {}, 1000, False),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EXPLORER_DATA", str(DATA))


@pytest.mark.parametrize(("file", "where", "least", "has_categories"), LOCAL, ids=lambda v: str(v)[-32:])
def test_local_rows_of_the_published_schema(tmp_path, file, where, least, has_categories):
    if not (DATA / file).is_file():
        pytest.skip(f"{DATA / file} is not here (set EXPLORER_DATA)")
    spec = SuiteSpec("x", file=f"$EXPLORER_DATA/{file}", where=tuple(where.items()))
    prompts = load_source(spec, tmp_path / "build.toml")
    assert len(prompts) >= least
    assert len({p.prompt for p in prompts}) == len(prompts)
    assert not any(p.prompt.startswith("Human:") or "\n\nAssistant:" in p.prompt for p in prompts)
    assert any(p.category for p in prompts) == has_categories


# One made-up row in the published form of each data set.
ROWS = {
    "PKU-Alignment/BeaverTails": {
        "prompt": "p",
        "response": "r",
        "category": {"animal_abuse": False, "self_harm": True},
        "is_safe": False,
    },
    "PKU-Alignment/BeaverTails-Evaluation": {"prompt": "p", "category": "self_harm", "category_id": 1},
    "Anthropic/hh-rlhf": {
        "chosen": "\n\nHuman: p\n\nAssistant: a\n\nHuman: q\n\nAssistant: b",
        "rejected": "\n\nHuman: p\n\nAssistant: c",
    },
    "walledai/HarmBench": {"prompt": "p", "category": "self_harm"},
    "JailbreakBench/JBB-Behaviors": {"Index": 0, "Goal": "p", "Target": "t", "Behavior": "b", "Category": "self_harm"},
    "walledai/AdvBench": {"prompt": "p", "target": "t"},
    "walledai/XSTest": {"prompt": "p", "type": "homonyms", "label": "safe", "focus": "f", "note": "n"},
    "natolambert/xstest-v2-copy": {"id": "1", "prompt": "p", "type": "homonyms", "note": "n"},
    "anon8231489123/ShareGPT_Vicuna_unfiltered": {
        "id": "1",
        "conversations": [{"from": "gpt", "value": "hello"}, {"from": "human", "value": "p"}],
    },
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_hubs_data_sets_are_read_by_name(name, monkeypatch, tmp_path):
    asked = {}

    def load(hub, subset, split, data_files):
        asked.update(hub=hub, subset=subset, split=split)
        return Dataset.from_list([ROWS[name], ROWS[name]])

    monkeypatch.setattr("datasets.load_dataset", load)
    prompts = load_source(SuiteSpec("x", hub=name), tmp_path / "build.toml")
    assert [p.prompt for p in prompts] == ["p"]
    assert asked["hub"] == name
    assert asked["split"] == KNOWN[name].split
    if "category" in ROWS[name] or "Category" in ROWS[name]:
        assert prompts[0].category == "self_harm"


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_any_file_with_a_column_map(tmp_path, ending):
    table = Dataset.from_dict({"ask": ["one", "two"], "kind": ["a", "b"], "keep": ["y", "n"]})
    file = tmp_path / f"own.{ending}"
    getattr(table, {"jsonl": "to_json", "csv": "to_csv", "parquet": "to_parquet"}[ending])(str(file))
    columns = (("prompt", "ask"), ("category", "kind"))
    spec = SuiteSpec("own", file=file.name, columns=columns, where=(("keep", "y"),))
    (prompt,) = load_source(spec, tmp_path / "build.toml")
    assert (prompt.prompt, prompt.category) == ("one", "a")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (SuiteSpec("x", file="lost.jsonl"), "no file"),
        (SuiteSpec("x", file="own.csv", columns=(("prompt", "lost"),)), "no column “lost”"),
        (SuiteSpec("x", file="own.csv"), "no column of prompts"),
        (SuiteSpec("x", file="own.csv", columns=(("prompt", "ask"),), where=(("ask", "z"),)), "no prompts left"),
        (SuiteSpec("x", file="own.txt"), "none of"),
        (SuiteSpec("x", file="$NO_SUCH_VARIABLE/a.jsonl"), "set EXPLORER_DATA"),
        (SuiteSpec("x", hub="some/body"), "needs the split"),
        (SuiteSpec("x", hub="no-such/data-set", split="test"), "cannot be had"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, spec, words):
    (tmp_path / "own.csv").write_text("ask,kind\none,a\n")
    (tmp_path / "own.txt").write_text("one\n")
    with pytest.raises(ExplorerError, match=words):
        load_source(spec, tmp_path / "build.toml")
