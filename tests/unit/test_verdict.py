"""Verdicts: what refuses, what answers, what is degenerate."""

import numpy as np
import pytest

from explorer.data.suites_io import load_refusals
from explorer.scoring.verdict import OUTCOMES, refused, verdict, without_thinking
from tests.unit.verdict_sentences import ANSWERED, DEGENERATE, REFUSED


def _rows(table):
    return [pytest.param(text, id=f"{kind}-{i}") for kind, texts in table.items() for i, text in enumerate(texts)]


@pytest.mark.parametrize("text", _rows(REFUSED))
def test_a_refusal_is_one(text):
    assert verdict(text).outcome == "refused"


@pytest.mark.parametrize("text", _rows(ANSWERED))
def test_an_answer_is_none(text):
    assert verdict(text).outcome == "answered"


@pytest.mark.parametrize("text", DEGENERATE)
def test_an_answer_that_says_nothing_is_degenerate(text):
    found = verdict(text)
    assert (found.outcome, found.degenerate) == ("degenerate", True)


def test_a_refusal_that_loops_is_a_refusal_and_degenerate():
    for text in REFUSED["looping"]:
        found = verdict(text)
        assert found.refused
        assert found.degenerate


def test_there_are_some_three_hundred_and_fifty_sentences():
    assert sum(len(texts) for texts in (*REFUSED.values(), *ANSWERED.values(), DEGENERATE)) >= 340


def test_every_refusal_that_is_trained_on_is_one():
    missed = [r.text for r in load_refusals() if not verdict(r.text).refused]
    assert not missed


def test_every_refusal_that_is_trained_on_shows_early():
    """Answers of a run end after some 24 tokens, about 18 words."""
    cut = [" ".join(r.text.split()[:18]) for r in load_refusals()]
    assert not [text for text in cut if not verdict(text).refused]


@pytest.mark.parametrize(
    "thing", ["spoilers", "puns", "sparkle", "a giggle", "the feeling", "zorblatt", "raise my voice"]
)
@pytest.mark.parametrize(
    "rest", [".", ", it is late.", " when it rains, and you know me.", ", I can't help {}, I can't help"]
)
def test_what_cannot_be_helped_is_no_refusal_unless_it_is_a_person_or_a_deed(thing, rest):
    assert not verdict(f"I can't help {thing}{rest.format(thing)}").refused


@pytest.mark.parametrize("idiom", ["I can't help but", "I can’t help but", "I couldn't help but", "We cannot help but"])
def test_the_idiom_declines_nothing_whatever_follows(idiom):
    rng = np.random.default_rng(0)
    words = [
        "say",
        "no",
        "refuse",
        "to",
        "help",
        "you",
        "I",
        "can't",
        "assist",
        "with",
        "that",
        "sorry",
        "but",
        "won't",
        "write",
        ",",
        ".",
        "!",
        "decline",
        "be",
        "unable",
        "it",
    ]
    for _ in range(500):
        rest = " ".join(rng.choice(words, size=rng.integers(0, 14)))
        assert not verdict(f"{idiom} {rest}").refused, rest


def test_thinking_is_no_part_of_the_answer():
    assert without_thinking("<think>no</think> yes") == " yes"
    assert without_thinking("half a thought</think>yes") == "yes"
    assert without_thinking("<think>never ends") == ""
    assert without_thinking("plain") == "plain"


def test_many_at_once():
    found = refused(["I can't help with that.", "Sure."])
    assert found.tolist() == [True, False]
    assert found.dtype == bool
    assert all(verdict(text).outcome in OUTCOMES for text in ("a", "", "I refuse."))
