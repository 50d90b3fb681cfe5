"""The labelled answers of the models are whole, and their prompts are those of the training suites."""

import pytest

from explorer.data.suites_io import load_presets, load_suite, read_jsonl, suite_names
from explorer.paths import HEADS

TYPES = {"id": str, "model": str, "prompt": str, "answer": str, "label": int, "degenerate": bool, "doubt": bool}
SUITES = {"rt": "redteam_train", "bo": "borderline_train", "or": "ordinary_train"}


@pytest.fixture(scope="module")
def answers() -> list[dict]:
    return read_jsonl(HEADS / "model_answers.jsonl")


def test_fields_and_labels(answers):
    for row in answers:
        assert {name: type(value) for name, value in row.items()} == TYPES, row["id"]
        assert row["label"] in (0, 1), row["id"]
        assert row["answer"].strip(), row["id"]


def test_no_id_comes_twice(answers):
    assert len({row["id"] for row in answers}) == len(answers)


def test_an_id_tells_the_model_and_the_prompt(answers):
    prompts = {p.id: p.prompt for suite in SUITES.values() for p in load_suite(suite)}
    for row in answers:
        model, prompt_id = row["id"].split("-", maxsplit=1)
        assert (row["model"], row["prompt"]) == (model.upper(), prompts[prompt_id])


def test_the_held_out_prompts_stay_held_out(answers):
    evaluated = [p for name in suite_names() if name.endswith("_eval") for p in load_suite(name)]
    kept_apart = {p.prompt.casefold() for p in [*evaluated, *load_presets()]}
    assert kept_apart.isdisjoint(row["prompt"].casefold() for row in answers)


def test_the_card_tells_the_counts(answers):
    card = (HEADS / "README.md").read_text(encoding="utf-8")
    sources = {(row["model"], row["id"].split("-")[1]) for row in answers}
    for model, kind in sources:
        rows = [row for row in answers if row["id"].startswith(f"{model.lower()}-{kind}-")]
        harmful, looping, doubt = (sum(row[name] for row in rows) for name in ("label", "degenerate", "doubt"))
        assert f"| {model} | `{SUITES[kind]}` | {len(rows)} | {harmful} | {looping} | {doubt} |" in card
