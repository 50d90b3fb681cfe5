"""The Patch lab's trace, on a tiny random pair that really answers."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from explorer.charts.trace import Hover, Line, trace_chart
from explorer.digests import sha256_file
from explorer.engine.trace import trace
from explorer.engine.traced import READERS
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.report.trace import moved_frame, moved_sentence, parts_sentence, trace_frame
from tests import tiny
from tests.app.small_run import PROMPT, write_small_run
from tests.tiny_build import write_build

PATCH_LAB = "pages/patch_lab.py"


@pytest.fixture
def tiny_run(tmp_path, monkeypatch):
    """A run whose models are a tiny pair, with tokens of a margin."""
    write_build(tmp_path)
    folder = write_small_run(tmp_path / "runs" / "small", tiny.LAYERS, tiny.NEURONS)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["pair"]["file"] = str(tmp_path / "pair.toml")
    manifest["tables"] = [*manifest["tables"], "first_tokens"]
    file = folder / "tables" / "first_tokens.parquet"
    pd.DataFrame({"token": [5, 6, 7], "weight": [1.0, 0.0, -1.0]}).to_parquet(file)
    manifest["files"]["tables/first_tokens.parquet"] = {"sha256": sha256_file(file)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "runs"))
    return folder


def until(app, condition, seconds: float = 200.0):
    """Run the page again and again, as its fragments do, until it shows what is waited for."""
    end = time.monotonic() + seconds
    while not condition(app):
        assert time.monotonic() < end, [e.value for e in (*app.error, *app.warning, *app.caption)]
        time.sleep(0.2)
        app.run()
    assert not app.exception
    return app


def says(app, words: str) -> bool:
    return any(words in e.value.replace("\\", "") for e in (*app.markdown, *app.caption))


def keys(app, kind: str) -> list[str]:
    return [str(e.key) for e in getattr(app, kind)]


def traced_charts(app) -> int:
    """How many charts the trace has; the page has others."""
    return sum("trace-place" in str(chart.key) for chart in app.get("vega_lite_chart"))


def test_a_generated_answer_is_traced_and_forgotten_with_it(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.3", tokens="16")
    assert "trace-start" not in keys(app, "button")  # nothing is written yet
    app.button(key="generate").click().run()
    until(app, lambda app: says(app, "Done:"))
    app.button(key="trace-start").click().run()
    until(app, lambda app: any("trace-place" in key for key in keys(app, "selectbox")))
    assert says(app, "The answer of patched M1, ")
    assert traced_charts(app) == 2
    assert not says(app, "is left out")
    place = next(box for box in app.selectbox if "trace-place" in str(box.key))
    place.set_value(3).run()
    assert says(app, "Token 4: patched M1 ")
    assert says(app, "patched neurons that move this choice most")
    assert app.button(key="trace-start").disabled
    app.segmented_control(key="trace-whose").set_value("aligned").run()
    assert not app.button(key="trace-start").disabled
    app.button(key="generate").click().run()
    until(app, lambda app: says(app, "Done:"))
    assert not app.button(key="trace-start").disabled
    assert not any("trace-place" in key for key in keys(app, "selectbox"))


def test_answers_of_the_run_are_traced_by_their_text(tiny_run, open_page) -> None:
    app = open_page(PATCH_LAB, prompt=f"{PROMPT} 0", fraction="0.2")
    assert says(app, "These answers come with the run")
    app.button(key="trace-start").click().run()
    until(app, lambda app: any("trace-place" in key for key in keys(app, "selectbox")))
    assert says(app, "The answer of patched M1, ")
    app.select_slider(key="patch_fraction").set_value(0.05).run()  # another set: other answers
    assert not app.button(key="trace-start").disabled


def test_a_run_without_first_tokens_says_why_there_is_no_margin(tiny_run, open_page) -> None:
    manifest = json.loads((tiny_run / "manifest.json").read_text())
    manifest["tables"].remove("first_tokens")
    del manifest["files"]["tables/first_tokens.parquet"]
    (tiny_run / "manifest.json").write_text(json.dumps(manifest))
    app = open_page(PATCH_LAB, prompt="Why?", fraction="0.3", tokens="16", direction="break", positions="prompt")
    app.button(key="generate").click().run()
    until(app, lambda app: says(app, "Done:"))
    app.button(key="trace-start").click().run()
    until(app, lambda app: any("trace-place" in key for key in keys(app, "selectbox")))
    assert says(app, "The margin of refusal over compliance is left out")
    assert says(app, "The answer of patched M2, ")
    assert traced_charts(app) == 1
    next(box for box in app.selectbox if "trace-place" in str(box.key)).set_value(2).run()
    assert says(app, "the patch does not reach this position")


def test_frames_sentences_and_charts() -> None:
    pair = tiny.shared_pair(seed=3)
    found = trace(pair, "Why?", [104, 32, 10, 200], Patch(NeuronSet.random(pair, 40, seed=1)))
    frame = trace_frame(found)
    assert frame["number"].tolist() == [1, 2, 3, 4]
    assert frame["margin_patched"].isna().all()
    assert frame["likeliest_aligned"].str.count("\u00a0%").tolist() == [5] * 4
    assert np.array_equal(frame["kl_to_m1"], found.kl_to_m1)
    place = found.parts(0)
    assert place is not None
    assert f"M1's answer parts from it at token {place + 1}" in parts_sentence(found, 1)
    assert f"M2's answer parts from it at token {place + 1}" in parts_sentence(found, 1, "break")
    assert "the 40 patched neurons write" in moved_sentence(found, 1, 40)
    moved = moved_frame(found, 1)
    assert moved["look"].str.startswith("neurons?neuron=").all()
    assert moved["logits"].abs().is_monotonic_decreasing
    lines = [Line("kl_to_m1", "to M1", "#000000"), Line("kl_to_m2", "to M2", "#ffffff")]
    parts = pd.DataFrame([(1, "M1 parts")], columns=["place", "label"])
    hover = [Hover(f"likeliest_{reader}", reader) for reader in READERS]
    json.dumps(trace_chart(frame, lines, "KL, nats", hover, parts, 2).to_dict(validate=True))
