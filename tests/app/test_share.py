"""What is taken along from the Patch lab: links, code, history; on a tiny random pair that really answers."""

import contextlib
import io

import pytest

from explorer.serve.snapshots import folder
from tests.app.test_trace import PATCH_LAB, says, tiny_run, until

__all__ = ["tiny_run"]


@pytest.fixture(autouse=True)
def _own_links(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path / "user"))


def code_of(app) -> str:
    return next(c.value for c in app.code if "explorer.open_run" in c.value)


def texts(app) -> list[str]:
    return [e.proto.body for e in app.get("html") if "pre-wrap" in e.proto.body]


def test_a_link_shows_the_same_answers_and_code_gives_them_again(tiny_run, open_page, monkeypatch) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.1", tokens="16", direction="break")
    assert not any(b.key == "copy-link" for b in app.button)  # nothing to take along yet
    app.button(key="generate").click().run()
    until(app, lambda app: says(app, "Done:"))
    shown, code = texts(app)[:4], code_of(app)
    app.button(key="copy-link").click().run()
    link = next(c.value for c in app.code if "answers=" in c.value)
    assert "direction=break" in link
    name = link.split("answers=")[1][:16]
    assert (folder() / f"{name}.json").is_file()

    other = open_page(PATCH_LAB, answers=name)
    assert texts(other)[:4] == shown
    assert other.text_area(key="patch_prompt").value == "Why?"
    assert other.radio(key="patch_direction").value == "break"
    assert says(other, "kept with this link")
    assert code_of(other) == code
    other.select_slider(key="patch_fraction").set_value(0.2).run()
    assert says(other, "The settings have changed since")
    assert texts(other)[:4] == shown
    other.button(key="generate").click().run()
    until(other, lambda app: says(app, "Done:"))
    assert "answers" not in other.query_params
    assert not says(other, "kept with this link")

    monkeypatch.chdir(tiny_run.parent.parent)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "snippet", "exec"), {})  # the page's own code
    from explorer.serve.snapshots import load

    kept = load(name)
    for answer in kept.texts.values():
        assert answer.strip() in out.getvalue()


@pytest.mark.parametrize(("name", "words"), [("0" * 16, "no longer kept"), ("<b>", "names no answers")])
def test_a_link_to_answers_that_are_not_there_is_one_sentence(tiny_run, open_page, name, words) -> None:
    app = open_page(PATCH_LAB, answers=name)
    assert [words in w.value for w in app.warning] == [True]


def test_settings_are_loaded_again_and_two_generations_compared(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.1", tokens="16", control="0")
    app.button(key="generate").click().run()
    until(app, lambda app: says(app, "Done:"))
    app.text_area(key="patch_prompt").set_value("How?")
    app.select_slider(key="patch_fraction").set_value(0.05).run()
    assert says(app, "stale")
    app.button(key="generate").click().run()
    until(app, lambda app: says(app, "Done:") and not says(app, "stale"))
    loads = [b for b in app.button if str(b.key).startswith("load-")]
    assert len(loads) == 2
    loads[1].click().run()
    assert app.text_area(key="patch_prompt").value == "Why?"
    assert app.select_slider(key="patch_fraction").value == 0.1
    assert app.toggle(key="patch_control").value is False
    box = app.multiselect(key="history-compared")
    box.set_value([str(b.key).removeprefix("load-") for b in loads]).run()
    assert says(app, "Marked: words that the first answer does not have")


def test_a_list_of_ones_own_is_answered_in_a_table(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.1", tokens="16")
    app.button(key="list-start").click().run()
    assert any("holds no prompts" in e.value for e in app.error)
    app.text_area(key="list-text").set_value("Why?\nHow?\nWhen?").run()
    app.button(key="list-start").click().run()
    until(app, lambda app: says(app, "Refused of n = 3"))
    until(app, lambda app: any(e.proto.label == "JSON" for e in app.get("download_button")))
    table = app.dataframe[0].value
    assert table["prompt"].tolist() == ["Why?", "How?", "When?"]
    assert {f"verdict_{name}" for name in ("unpatched", "patched", "control", "aligned")} <= set(table)


def test_a_conversation_goes_on_for_all_columns_and_comes_back_with_a_link(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.1", tokens="16", system="Be brief.")
    assert app.text_area(key="patch_system").value == "Be brief."
    app.button(key="generate").click().run()
    until(app, lambda app: says(app, "Done:"))
    assert any(b.key == "trace-start" for b in app.button)  # a trace reads what was said before, too
    app.button(key="continue-conversation").click().run()
    assert app.text_area(key="patch_prompt").value == ""
    assert says(app, "Said before")
    app.text_area(key="patch_prompt").set_value("And then?").run()
    app.button(key="generate").click().run()
    until(app, lambda app: says(app, "Done:") and not says(app, "stale"))
    assert "before=before" in code_of(app)
    app.button(key="copy-link").click().run()
    link = next(c.value for c in app.code if "answers=" in c.value)
    other = open_page(PATCH_LAB, answers=link.split("answers=")[1][:16])
    assert texts(other)[:4] == texts(app)[:4]
    assert says(other, "Said before")
    assert not says(other, "have changed since")
    other.button(key="start-over").click().run()
    assert not says(other, "Said before")
    assert says(other, "have changed since")
