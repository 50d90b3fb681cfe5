"""How a pair reads is part of a build's keys, and the day that a chat template prints is the build's own."""

from datetime import date

import pytest

from explorer.pipeline import tasks
from explorer.pipeline.build import build, plan
from explorer.pipeline.config import read_build_config
from explorer.pipeline.context import load_context
from explorer.pipeline.engine import LocalEngine
from explorer.runs.reader import open_run
from tests.tiny_build import write_build


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    return write_build(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        "chat_template = 'qa.jinja'",
        "chat_template = 'tulu'",
        "template_arguments = {x = true}\nchat_template = 'qa.jinja'",
        "quantisation = '8bit'",
        "date = 2020-01-02\nchat_template = 'qa.jinja'",
    ],
)
def test_what_a_pair_file_says_of_reading_is_part_of_the_key(config, change):
    (config.parent / "qa.jinja").write_text("{{ strftime_now('%Y') }}{{ x }} {{ messages[0]['content'] }}")

    def keys() -> set[str]:
        ctx = load_context(read_build_config(config), config.parent / "work", lambda _spec, models: LocalEngine(models))
        return {stage.key for stage in plan(ctx)}

    before = keys()
    pair = config.parent / "pair.toml"
    pair.write_text(change + "\n" + pair.read_text())
    after = keys()
    assert not before & after
    (config.parent / "qa.jinja").write_text("{{ strftime_now('%Y') }}{{ x }} Q: {{ messages[0]['content'] }}")
    assert bool(keys() & after) != ("qa.jinja" in change)


def test_a_build_goes_on_with_the_day_that_it_began_on(config, monkeypatch):
    (config.parent / "pair.toml").write_text(
        "chat_template = 'day.jinja'\n" + (config.parent / "pair.toml").read_text()
    )
    (config.parent / "day.jinja").write_text("{{ strftime_now('%d %b %Y') }}: {{ messages[0]['content'] }}")

    class Past(date):
        @classmethod
        def today(cls):
            return cls(2024, 7, 26)

    monkeypatch.setattr("explorer.pipeline.context.date", Past)
    monkeypatch.setattr(tasks, "answer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        build(read_build_config(config))
    monkeypatch.undo()
    monkeypatch.setenv("EXPLORER_RUNS", str(config.parent / "cache"))
    folder = build(read_build_config(config))
    about = open_run(folder).manifest["pair"]["reading"]
    assert about["date"] == "2024-07-26"
    assert "strftime_now" in about["template"]
