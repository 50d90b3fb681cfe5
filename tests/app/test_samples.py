"""Sampling, and turns from each column's own answers, in the Patch lab; on a tiny random pair that really answers."""

import json

import pytest

from explorer.serve.snapshots import load
from tests.app.test_share import code_of, texts
from tests.app.test_trace import PATCH_LAB, keys, says, tiny_run, traced_charts, until

__all__ = ["tiny_run"]

SAMPLED = {"temperature": "1.5", "top-p": "0.95", "sampling-seed": "3", "samples": "3"}
WORDS = "sampled, temperature 1.5, top-p 0.95, seed 3, 3 samples"


@pytest.fixture(autouse=True)
def _own_links(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path / "user"))


def generated(app):
    app.button(key="generate").click().run()
    return until(app, lambda app: says(app, "Done:") and not says(app, "stale"))


def linked(app) -> str:
    app.button(key="copy-link").click().run()
    return next(c.value for c in app.code if "answers=" in c.value).split("answers=")[1][:16]


def own_turn(app) -> None:
    app.selectbox(key="patch-continue-from").select("own").run()
    app.button(key="continue-conversation").click().run()


def test_samples_are_paged_and_taken_along(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.1", tokens="16", **SAMPLED)
    assert app.number_input(key="patch_samples").value == 3
    assert says(app, WORDS)  # beside the options
    generated(app)
    assert sum("of 3 refuse" in c.value for c in app.caption) == 8  # in the cards, and in the history
    assert any("Refused: M1 " in e.proto.body for e in app.get("html"))
    first = texts(app)[:4]
    app.segmented_control(key="patch-sample").set_value(2).run()
    second = texts(app)[:4]
    assert first != second
    assert f"decoding: {WORDS}" not in code_of(app)
    assert "sampling=explorer.Sampling(temperature=1.5, top_p=0.95, seed=3)" in code_of(app)
    name = linked(app)
    kept = load(name)
    assert [len(kept.samples), kept.sampling_seed] == [3, 3]

    other = open_page(PATCH_LAB, answers=name)
    assert texts(other)[:4] == first
    assert says(other, f"({WORDS}), kept with this link")
    assert not says(other, "The settings have changed since")
    assert other.number_input(key="patch_temperature").value == 1.5
    other.number_input(key="patch_sampling_seed").set_value(4).run()
    assert says(other, "The settings have changed since")

    app.number_input(key="patch_temperature").set_value(0.0).run()
    assert says(app, "Since then the sampling has changed")
    assert "temperature" not in app.query_params
    assert "samples" not in app.query_params
    generated(app)
    assert sum("of 3 refuse" in c.value for c in app.caption) == 4  # in the history alone


def test_a_sampled_answer_is_traced(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.1", tokens="16", control="0", **SAMPLED)
    generated(app)
    app.number_input(key="trace-sample").set_value(2).run()
    app.button(key="trace-start").click().run()
    until(app, lambda app: traced_charts(app) == 2)
    assert says(app, "This answer was sampled")


def test_each_column_goes_on_from_its_own_answers(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.1", tokens="16")
    first = load(linked(generated(app)))
    own_turn(app)
    assert says(app, "each column's own answers")
    app.text_area(key="patch_prompt").set_value("How?").run()
    generated(app)
    name = linked(app)
    kept = load(name)
    for column, said in kept.own.items():
        assert said == [["user", "Why?"], ["assistant", first.texts[column].strip()]]
    assert set(kept.own) == {"unpatched", "patched", "control", "aligned"}
    assert "conversations = {" in code_of(app)
    app.button(key="trace-start").click().run()
    until(app, lambda app: traced_charts(app) == 2)  # behind the column's own conversation
    app.button(key="film").click().run()
    assert any("conversation that all its frames share" in e.value for e in app.error)
    app.run()  # nobody pressed anything: it is still said
    assert any("conversation that all its frames share" in e.value for e in app.error)

    other = open_page(PATCH_LAB, answers=name)
    assert not says(other, "The settings have changed since")
    assert says(other, "each column's own answers")
    assert "trace-start" in keys(other, "button")

    app.radio(key="patch_direction").set_value("break").run()
    app.button(key="generate").click().run()
    assert any("in the direction “restore”" in e.value for e in app.error)
    app.button(key="start-over").click().run()
    assert not app.error
    assert not says(app, "Said before")


def test_a_control_without_a_conversation_of_its_own_is_left_out(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.1", tokens="16", control="0")
    own_turn(generated(app))
    app.toggle(key="patch_control").set_value(True).run()
    assert says(app, "It has no answers of its own in this conversation")
    app.text_area(key="patch_prompt").set_value("How?").run()
    generated(app)
    assert set(load(linked(app)).texts) == {"unpatched", "patched", "aligned"}


def test_the_strip_is_sampled_too(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.2", tokens="16", temperature="1.5")
    app.button(key="film").click().run()
    until(app, lambda app: says(app, "sampled, temperature 1.5, seed 0, up to 16 tokens"))
    assert "trace-start" in keys(app, "button")  # its answers stand in the columns


def test_the_command_line_writes_the_same_samples(tiny_run, open_page, capsys, monkeypatch) -> None:
    from explorer import cli

    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.1", tokens="16", control="0", **SAMPLED)
    kept = load(linked(generated(app)))
    settings = ["--temperature", "1.5", "--top-p", "0.95", "--sampling-seed", "3", "--samples", "3"]
    asked = ["patch", "--prompt", "Why?", "--fraction", "0.1", "--max-new-tokens", "16", *settings]
    pair = ["--pair", str(tiny_run.parent.parent / "pair.toml"), "--run", tiny_run.name]
    for extra in (["--json"], []):
        monkeypatch.setattr("sys.argv", ["explorer", *asked, *pair, *extra])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        said = capsys.readouterr().out
        if extra:
            result = json.loads(said)
            for name in ("unpatched", "patched", "aligned"):
                assert [one["text"] for one in result[name]["samples"]] == [s["texts"][name] for s in kept.samples]
                assert result[name]["refusals"]["of"] == 3
        else:
            assert f"{WORDS}, up to 16 tokens" in said
            assert "patched, sample 3: cost" in said
