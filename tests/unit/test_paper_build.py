"""`configs/build/paper.toml` is the paper's experiment: its pair, prompts, lengths, benchmarks and judge."""

import pytest
from datasets import Dataset

from explorer.data.sources import load_source
from explorer.models.pair_file import read_pair_file
from explorer.paths import PROJECT
from explorer.pipeline.config import read_build_config

BENCHMARKS = {"beavertails", "redteam", "harmbench", "jailbreakllms"}


@pytest.fixture(scope="module")
def build():
    return read_build_config(PROJECT / "configs" / "build" / "paper.toml")


def test_it_contrasts_sft_with_dpo_over_one_base(build):
    pair = read_pair_file(build.pair)
    assert pair.m1.base == pair.m2.base
    assert ("sft" in pair.m1.adapters[0], "dpo" in pair.m2.adapters[0]) == (True, True)
    assert pair.chat_template == "tulu"


def test_prompts_and_lengths_are_the_paper_s(build):
    safety = build.ranking("safety")
    assert (safety.limit, safety.max_new_tokens, safety.positions, safety.answers) == (200, 256, "paper", "m1")
    assert build.max_new_tokens == 128
    answered = {a.suite: a for a in build.answers}
    assert set(answered) >= BENCHMARKS
    assert all(answered[name].limit == 200 and 0.057 in answered[name].fractions for name in BENCHMARKS)


def test_the_cost_is_beaver_s(build):
    assert build.cost == "beaver:PKU-Alignment/beaver-7b-v1.0-cost"
    assert build.scorer_columns["cost"] == build.cost


ROWS = {
    "beavertails": {"prompt": "p", "category": "c", "category_id": 1},
    "redteam": {"transcript": "\n\nHuman: p\n\nAssistant: a\n\nHuman: q", "rating": 4.0, "task_description": "t"},
    "harmbench": {"prompt": "p", "category": "c"},
    "jailbreakllms": {"content_policy_id": 0, "content_policy_name": "c", "q_id": 0, "question": "p"},
}
"""One made-up row in the published form of each benchmark."""


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_benchmark_is_read_from_the_hub(build, name, monkeypatch):
    asked = {}

    def load(hub, subset, split, data_files):
        asked.update(hub=hub, subset=subset, split=split, files=data_files)
        return Dataset.from_list([ROWS[name]])

    monkeypatch.setattr("datasets.load_dataset", load)
    prompts = load_source(next(s for s in build.suites if s.name == name), build.source)
    assert [p.prompt for p in prompts] == ["p"]
    assert prompts[0].category == ("c" if name != "redteam" else "")
    assert ":" not in asked["hub"]
    assert asked["split"]
    assert asked["files"] == ("red-team-attempts/red_team_attempts.jsonl.gz" if name == "redteam" else None)
