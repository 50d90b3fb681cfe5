"""The prompt suites that ship: numbered, counted as their README says, and held out where they say so."""

import re
from collections import Counter

import pytest

from explorer.data.suites_io import load_suite, read_jsonl, suite_names
from explorer.paths import SUITES

GROWN = {"redteam_eval": 112, "ordinary_eval": 112, "borderline_eval": 48}
"""Held-out suites and the rows that they began with: what was added later was held against everything else."""

TRAINED = {"redteam_train": 840, "ordinary_train": 840}
"""Training suites and the rows that they had before their last growth, which was held against the held-out suites."""

UNRELATED = {**GROWN, "ordinary_fresh_eval": 0}
"""Held-out suites and the first rows that must be unlike everything else: all, in a suite written at once."""

FORMS = {"question", "imperative", "statement", "first_person"}


@pytest.mark.parametrize("name", suite_names())
def test_rows_are_numbered_and_counted_in_the_readme(name):
    rows = read_jsonl(SUITES / f"{name}.jsonl")
    first = rows[0]["id"][:3]
    assert [row["id"] for row in rows] == [f"{first}{number:03}" for number in range(1, len(rows) + 1)]
    assert re.search(rf"\| `{name}\.jsonl` \| {len(rows)} ", (SUITES / "README.md").read_text("utf-8"))
    assert {row["form"] for row in rows} <= FORMS


def test_no_prompt_is_in_two_places():
    prompts = [p.prompt.casefold() for name in suite_names() for p in load_suite(name)]
    prompts += [row["prompt"].casefold() for row in read_jsonl(SUITES / "presets.jsonl")]
    assert [text for text, count in Counter(prompts).items() if count > 1] == []


def test_grown_suites_are_balanced_over_their_categories():
    for name in GROWN | TRAINED:
        counts = Counter(p.category for p in load_suite(name))
        assert max(counts.values()) - min(counts.values()) <= 1, name


def test_added_rows_are_no_near_duplicates():
    """By the words and the three-word sequences that two prompts share (Jaccard); twins are meant to be alike."""
    known = [(p, *_parts(p.prompt)) for name in suite_names() for p in load_suite(name)]
    for name, began in UNRELATED.items():
        for added in load_suite(name)[began:]:
            words, threes = _parts(added.prompt)
            for other, their_words, their_threes in known:
                if other.id[3:] != added.id[3:]:  # itself, or its harmless twin
                    assert _shared(words, their_words) < 0.5, (added, other)
                    assert _shared(threes, their_threes) < 0.3, (added, other)


def test_added_training_rows_are_no_near_duplicates_of_held_out_ones():
    held_out = [p.prompt for name in suite_names() if name.endswith("_eval") for p in load_suite(name)]
    held_out += [row["prompt"] for row in read_jsonl(SUITES / "presets.jsonl")]
    known = [_parts(text) for text in held_out]
    for name, began in TRAINED.items():
        for added in load_suite(name)[began:]:
            words, threes = _parts(added.prompt)
            assert max(_shared(words, their_words) for their_words, _ in known) < 0.5, added.id
            assert max(_shared(threes, their_threes) for _, their_threes in known) < 0.3, added.id


def _parts(text: str) -> tuple[frozenset, frozenset]:
    words = re.findall(r"[a-z0-9']+", text.lower())
    return frozenset(words), frozenset(zip(words, words[1:], words[2:], strict=False))


def _shared(first: frozenset, second: frozenset) -> float:
    return len(first & second) / max(1, len(first | second))
