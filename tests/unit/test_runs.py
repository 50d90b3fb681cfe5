"""A run on disk: what is written is read back, what is damaged is named, nothing leaves the folder."""

import json

import numpy as np
import pandas as pd
import pytest

from explorer.errors import ExplorerError
from explorer.neurons.scores import ChangeScores
from explorer.runs.reader import find_run, open_run, run_names
from explorer.runs.writer import RunWriter


def changes(seed: int = 0) -> ChangeScores:
    rng = np.random.default_rng(seed)
    arrays = [rng.random((3, 8)).astype(np.float32) for _ in range(5)]
    return ChangeScores(
        arrays[0], 42, *arrays[1:], excluded_layers=(1,), label="of a test", meta={"positions": "paper"}
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    writer = RunWriter(tmp_path / "cache" / ".build-small")
    about = writer.change_scores("safety", changes())
    writer.table("effect", pd.DataFrame({"fraction": [0.1, 0.2], "text": ["naïve ☕", "<b>"]}))
    writer.publish(
        {"pair": {"n_layers": 3, "n_neurons": 8}, "rankings": {"safety": about}}, tmp_path / "cache" / "small"
    )
    return tmp_path / "cache" / "small"


def test_a_run_is_read_back_as_written(folder):
    run = open_run(folder)
    read, wrote = run.change_scores("safety"), changes()
    np.testing.assert_array_equal(read.scores, wrote.scores)
    assert (read.count, read.excluded_layers, read.label, read.meta) == (42, (1,), "of a test", {"positions": "paper"})
    assert run.table("effect")["text"].tolist() == ["naïve ☕", "<b>"]
    assert (run.n_layers, run.n_neurons, run.tables, run.rankings) == (3, 8, ["effect"], ["safety"])
    assert run.check() == []


def test_publishing_again_replaces_the_run_whole(folder):
    writer = RunWriter(folder.parent / ".build-small")
    about = writer.change_scores("safety", changes(1))
    writer.publish({"pair": {"n_layers": 3, "n_neurons": 8}, "rankings": {"safety": about}}, folder)
    np.testing.assert_array_equal(open_run(folder).change_scores("safety").scores, changes(1).scores)
    assert [p.name for p in folder.parent.iterdir() if "half" in p.name or "old" in p.name] == []


def test_names_find_runs_only_in_their_folder(folder):
    assert run_names() == ["small"]
    assert find_run("small").path == find_run("cache/small").path
    for name in ("../small", "/etc", "..", "", "a/b", ".build-small", "x" * 100, "small\x00"):
        with pytest.raises(ExplorerError) as caught:
            find_run(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "manifest.json").write_text("{"), "damaged"),
        (lambda f: (f / "manifest.json").write_text("[]"), "damaged"),
        (lambda f: (f / "manifest.json").write_text('{"schema_version": 1}'), "damaged"),
        (lambda f: (f / "manifest.json").write_text('{"schema_version": 99}'), "format 99"),
        (lambda f: (f / "manifest.json").unlink(), "no run"),
    ],
)
def test_a_damaged_manifest_is_one_sentence(folder, damage, words):
    damage(folder)
    with pytest.raises(ExplorerError, match=words):
        open_run(folder)


@pytest.mark.parametrize("name", ["tensors/safety.safetensors", "tables/effect.parquet"])
@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(p.read_bytes()[:40]), lambda p: p.unlink()])
def test_a_damaged_file_is_named(folder, name, damage):
    damage(folder / name)
    run = open_run(folder)
    assert [name in problem for problem in run.check()] == [True]
    with pytest.raises(ExplorerError, match=name.split("/")[1].split(".")[0]):
        run.change_scores("safety") if "tensors" in name else run.table("effect")


def test_unknown_names_are_one_sentence(folder):
    run = open_run(folder)
    with pytest.raises(ExplorerError, match="no ranking"):
        run.change_scores("../../etc/passwd")
    with pytest.raises(ExplorerError, match="no table"):
        run.table("../effect")


def test_a_manifest_cannot_lead_outside(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"].append("../../secret")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExplorerError):
        open_run(folder).table("../../secret")
