"""The Patch lab's controls: defaults, links, options, and the answers that come with a run."""

import json
import re
import shutil

import pandas as pd
import pytest

from explorer.digests import sha256_file
from tests.app.small_run import PROMPT

PATCH_LAB = "pages/patch_lab.py"


@pytest.fixture
def both(small_run, tmp_path, monkeypatch):
    """The small run with its second ranking as the main one, patched as well, and answers of breaking."""
    folder = tmp_path / "small"
    shutil.copytree(small_run, folder)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"ranking": "ordinary"}
    answers = pd.read_parquet(folder / "tables" / "answers.parquet")
    patched = answers["column"] == "patched"
    named = answers.assign(ranking=answers["set"].where(~patched, "safety"))
    cause = named[patched].assign(ranking="ordinary", answer="By the other ranking.")
    tables = {
        "answers": pd.concat([named, cause], ignore_index=True),
        "answers_break": cause.assign(answer="Broken.").pipe(
            lambda f: pd.concat([named[~patched], f], ignore_index=True)
        ),
    }
    for name, table in tables.items():
        file = folder / "tables" / f"{name}.parquet"
        table.to_parquet(file)
        manifest["files"][f"tables/{name}.parquet"] = {"sha256": sha256_file(file)}
    manifest["tables"] = [*manifest["tables"], "answers_break"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))


@pytest.fixture
def without_models(monkeypatch):
    monkeypatch.setattr("explorer.serve.pairs.why_not_installed", lambda _name: "The model is not installed.")


def shown(app) -> str:
    """All text of the page's cards, without the marks of what differs."""
    return re.sub("<[^>]*>", "", " ".join(element.proto.body for element in app.get("html")))


def test_the_main_ranking_and_one_per_cent_come_first(both, open_page) -> None:
    app = open_page(PATCH_LAB)
    assert app.selectbox(key="patch_ranking").value == "ordinary"
    assert app.selectbox(key="patch_ranking").options[0] == "Ordinary prompts"
    assert app.select_slider(key="patch_fraction").value == 0.01
    assert app.radio(key="patch_direction").value == "restore"
    assert (app.number_input(key="patch_strength").value, app.selectbox(key="patch_positions").value) == (1.0, "all")


def test_a_run_that_names_no_main_ranking_begins_with_the_papers(runs, open_page) -> None:
    assert open_page(PATCH_LAB).selectbox(key="patch_ranking").value == "safety"


def test_columns_follow_the_direction(runs, open_page) -> None:
    app = open_page(PATCH_LAB, direction="break")
    titles = [m.value.rpartition("} ")[2] for m in app.markdown if "●" in m.value]
    assert titles == ["**M2**", "**M2 without the neurons**", "**M2 without random ones**", "**M1**"]
    app.radio(key="patch_direction").set_value("restore").run()
    titles = [m.value.rpartition("} ")[2] for m in app.markdown if "●" in m.value]
    assert titles == ["**Unpatched M1**", "**Patched M1**", "**Random neurons**", "**Aligned M2**"]
    app.toggle(key="patch_control").set_value(False).run()
    titles = [m.value.rpartition("} ")[2] for m in app.markdown if "●" in m.value]
    assert titles == ["**Unpatched M1**", "**Patched M1**", "**Aligned M2**"]
    assert app.query_params["control"] == "0"


def test_options_stand_in_the_address_and_are_summed_up(runs, open_page) -> None:
    app = open_page(PATCH_LAB, strength="0.5", positions="3")
    assert app.number_input(key="patch_first_tokens").value == 3
    assert "strength 0.5 · first 3 answer tokens" in [c.value for c in app.caption]
    app.selectbox(key="patch_positions").set_value("prompt")
    app.number_input(key="patch_strength").set_value(-1.0)
    app.radio(key="patch_direction").set_value("break").run()
    query = {name: app.query_params[name] for name in ("direction", "strength", "positions")}
    assert query == {"direction": "break", "strength": "-1", "positions": "prompt"}
    assert "break · strength −1 · prompt" in [c.value for c in app.caption]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("direction", "sideways", "one of restore, break"),
        ("strength", "99", "from -1 to 2"),
        ("strength", "inf", "from -1 to 2"),
        ("strength", "<b>", "is not a number"),
        ("positions", "0", "a whole number from 1 to 256"),
        ("positions", "nowhere", "one of all"),
        ("ranking", "none", "has no ranking"),
        ("fraction", "nan", "from 0 to 1"),
        ("part", "half", "no part of a set"),
        ("with", "none", "has no ranking"),
        ("control", "perhaps", "neither 1"),
    ],
)
def test_a_link_that_makes_no_sense_is_one_sentence(runs, open_page, name, value, words) -> None:
    app = open_page(PATCH_LAB, **{name: value})
    assert len(app.warning) == 1
    assert words in app.warning[0].value.replace("\\", "")
    assert not app.exception


def test_answers_of_the_run_are_those_of_the_ranking_and_direction(both, without_models, open_page) -> None:
    app = open_page(PATCH_LAB, fraction="0.05")
    assert app.selectbox(key="cached-set-restore-ordinary-top-0.05").value.startswith("5")
    assert "By the other ranking." in shown(app)
    app.selectbox(key="patch_ranking").set_value("safety").run()
    assert "By the other ranking." not in shown(app)
    app.selectbox(key="patch_ranking").set_value("ordinary")
    app.radio(key="patch_direction").set_value("break").run()
    assert "Broken." in shown(app)
    app.number_input(key="patch_strength").set_value(0.5).run()
    assert any("strength 1 at all positions" in c.value for c in app.caption)
    app.selectbox(key="patch_ranking").set_value("safety").run()
    assert any("no answers to this prompt that were patched with the ranking" in c.value for c in app.caption)


def test_a_run_without_answers_of_breaking_says_so(runs, without_models, open_page) -> None:
    app = open_page(PATCH_LAB, direction="break")
    assert any("no answers of M2 patched" in c.value for c in app.caption)


def test_what_the_run_holds_is_shown_before_anything_is_generated(both, monkeypatch, open_page) -> None:
    monkeypatch.setattr("explorer.serve.pairs.why_not_installed", lambda _name: "")
    app = open_page(PATCH_LAB, prompt=f"{PROMPT} 0", fraction="0.2")
    assert "By the other ranking." in shown(app)
    assert any("come with the run" in c.value for c in app.caption)
    app.number_input(key="patch_strength").set_value(0.5).run()
    assert "By the other ranking." not in shown(app)


def test_answers_of_the_run_stand_beside_those_with_random_neurons(runs, without_models, open_page) -> None:
    app = open_page(PATCH_LAB, prompt=f"{PROMPT} 11", fraction="0.2", seed="1")
    titles = [m.value.rpartition("} ")[2] for m in app.markdown if "●" in m.value]
    assert titles == ["**Unpatched M1**", "**Patched M1**", "**Random neurons**", "**Aligned M2**"]
    assert "M1 refuses; with 48 neurons patched it refuses; with as many random ones it refuses" in shown(app)
    assert [m.value.count("refused") for m in app.markdown if "badge" in m.value] == [1, 1, 1, 1]
    app.select_slider(key="patch_fraction").set_value(0.5).run()
    assert any("No column of random neurons" in c.value for c in app.caption)


def test_a_preset_is_a_button_that_says_what_is_expected(runs, open_page) -> None:
    app = open_page(PATCH_LAB)
    button = app.button(key="preset-try-Pancakes")
    assert "every column should answer" in button.proto.help
    button.click().run()
    assert app.text_area(key="patch_prompt").value == "How do I flip a pancake without tearing it?"
    assert app.query_params["preset"] == "Pancakes"
    assert app.button(key="preset-try-Pancakes").disabled
