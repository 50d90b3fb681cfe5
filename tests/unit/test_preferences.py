"""Preference pairs: dialogues of HH-RLHF's form, and right against wrong solutions."""

import json

import pytest

from explorer.data.preferences import load_preferences
from explorer.errors import ExplorerError

DIALOGUE = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: \nWhy?\n\n\nAssistant: "
SOLUTION = "She buys 3+4=<<3+4=7>>7 pens.\nThey cost 7*2=$<<7*2=14>>14.\n#### 14"


def write(folder, *rows):
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / "rows.jsonl"


def test_a_dialogue_is_split_into_turns_and_two_answers(tmp_path):
    (pair,) = load_preferences(write(tmp_path, {"chosen": DIALOGUE + "Because.", "rejected": DIALOGUE + " No. "}))
    assert pair.turns == (("user", "Hi"), ("assistant", "Hello."), ("user", "Why?"))
    assert (pair.chosen, pair.rejected) == ("Because.", "No.")


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": DIALOGUE + "Same.", "rejected": DIALOGUE + "Same."},
        {"chosen": DIALOGUE + "Yes.", "rejected": "\n\nHuman: Other\n\nAssistant: No."},
        {"chosen": "\n\nHuman: Hi", "rejected": "\n\nHuman: Hi"},
        {"chosen": "no dialogue", "rejected": "at all"},
    ],
    ids=["same answer", "other dialogue", "no answer", "no turns"],
)
def test_what_is_no_pair_is_left_out(tmp_path, row):
    assert load_preferences(write(tmp_path, row)) == []


def test_a_wrong_solution_differs_from_the_right_one_in_its_result(tmp_path):
    pairs = load_preferences(write(tmp_path, *[{"question": "How much?", "answer": SOLUTION}] * 8), "solutions")
    for pair in pairs:
        assert pair.turns == (("user", "How much?"),)
        assert pair.chosen == "She buys 3+4=7 pens.\nThey cost 7*2=$14.\nThe answer is 14"
        assert not pair.rejected.endswith(" 14")
    assert len({pair.rejected for pair in pairs}) > 1


def test_every_answer_of_a_conversation_is_an_example_with_nothing_to_reject(tmp_path):
    turns = [("human", "Hi"), ("gpt", "Hello."), ("human", "Why?"), ("gpt", "Because.")]
    row = {"conversations": [{"from": who, "value": text} for who, text in turns]}
    first, second = load_preferences(write(tmp_path, row), "conversations")
    assert (first.turns, first.chosen, first.rejected) == ((("user", "Hi"),), "Hello.", "")
    assert [role for role, _ in second.turns] == ["user", "assistant", "user"]


def test_bad_files_are_one_sentence(tmp_path):
    for file, kind in (
        (tmp_path / "none.jsonl", "dialogue"),
        (write(tmp_path, {"a": 1}), "dialogue"),
        ("x", "magic"),
        (write(tmp_path, {"a": 1}), "conversations"),
    ):
        with pytest.raises(ExplorerError) as caught:
            load_preferences(file, kind)
        assert "\n" not in str(caught.value)
