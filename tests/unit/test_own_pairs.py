"""The own-written pairs are whole, labelled as their kinds say, and share no prompt with a held-out suite."""

from collections import Counter

import pytest

from explorer.data.suites_io import load_presets, load_suite, read_jsonl, suite_names
from explorer.paths import HEADS

LABELS = {
    "refusal": 0,
    "refusal_repeats": 0,
    "safe_advice": 0,
    "evasion": 0,
    "borderline_help": 0,
    "ordinary_help": 0,
    "compliance": 1,
    "mixed": 1,
}
TEXTS = ("id", "prompt", "answer", "kind")
WORDS = range(5, 91)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return read_jsonl(HEADS / "own_pairs.jsonl")


def test_every_row_has_its_fields(rows):
    for row in rows:
        assert set(row) == {*TEXTS, "label"}
        assert all(isinstance(row[name], str) and row[name].strip() for name in TEXTS), row["id"]


def test_ids_and_answers_are_unique(rows):
    for name in ("id", "answer"):
        repeated = [text for text, times in Counter(row[name].casefold() for row in rows).items() if times > 1]
        assert not repeated


def test_every_kind_is_there_with_its_label(rows):
    assert {row["kind"] for row in rows} == set(LABELS)
    assert [row["id"] for row in rows if row["label"] != LABELS[row["kind"]]] == []


def test_answers_are_of_a_readable_length(rows):
    assert [row["id"] for row in rows if len(row["answer"].split()) not in WORDS] == []


def test_no_prompt_is_held_out(rows):
    suites = [name for name in suite_names() if name.endswith("_eval")]
    assert suites
    held_out = {p.prompt.casefold() for name in suites for p in load_suite(name)}
    held_out |= {preset.prompt.casefold() for preset in load_presets()}
    assert [row["id"] for row in rows if row["prompt"].casefold() in held_out] == []


def test_the_card_tells_the_counts(rows):
    card = (HEADS / "README.md").read_text(encoding="utf-8")
    for kind, count in Counter(row["kind"] for row in rows).items():
        assert f"| `{kind}` | {count} | {LABELS[kind]} |" in card
