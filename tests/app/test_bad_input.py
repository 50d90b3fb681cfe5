"""Whatever is wrong is said in one clear sentence, in place of the page, without a traceback."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from explorer.digests import sha256_file
from explorer.paths import PROJECT
from explorer.ui.pages import PAGES

FILES = [entry.file for entry in PAGES if entry.url_path not in ("models", "build", "scores")]
"""The pages that show a run."""
NEURONS = "pages/neurons.py"


@pytest.fixture
def damaged(small_run, tmp_path, monkeypatch) -> Callable[[Callable[[Path], None]], None]:
    """Copies the shipped run (the small one where it is not built yet) and lets a test damage it."""

    def damage(how: Callable[[Path], None]) -> None:
        shipped = PROJECT / "cache" / "demo"
        source = shipped if (shipped / "manifest.json").is_file() else small_run
        shutil.copytree(source, tmp_path / "demo")
        how(tmp_path / "demo")
        monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))

    return damage


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def _rewrite(run: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    change(manifest)
    (run / "manifest.json").write_text(json.dumps(manifest))


DAMAGE = {
    "half a tensor file": (lambda run: _truncate(run / "tensors" / "safety.safetensors"), "fails its checksum"),
    "a byte of a tensor file": (lambda run: _alter(run / "tensors" / "safety.safetensors"), "fails its checksum"),
    "half a table": (lambda run: _truncate(run / "tables" / "effect.parquet"), "fails its checksum"),
    "no table": (lambda run: (run / "tables" / "answers.parquet").unlink(), "missing"),
    "no tensors": (lambda run: shutil.rmtree(run / "tensors"), "missing"),
    "half a manifest": (lambda run: _truncate(run / "manifest.json"), "damaged"),
    "an empty manifest": (lambda run: (run / "manifest.json").write_text("{}"), "damaged"),
    "a manifest of another kind": (lambda run: (run / "manifest.json").write_text("[1]"), "damaged"),
    "a manifest of brackets": (lambda run: (run / "manifest.json").write_text("[" * 200_000), "damaged"),
    "files outside": (
        lambda run: _rewrite(run, lambda m: m["files"].update({"../x": {"sha256": "0" * 64}})),
        "damaged",
    ),
    "another format": (lambda run: _rewrite(run, lambda m: m.update(schema_version=99)), "format 99"),
    "no pair": (lambda run: _rewrite(run, lambda m: m.update(pair=None)), "damaged"),
    "no files": (lambda run: _rewrite(run, lambda m: m.update(files=[])), "damaged"),
    "rankings of another kind": (lambda run: _rewrite(run, lambda m: m.update(rankings={"safety": 1})), "damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_is_one_sentence(damaged, open_page, name) -> None:
    how, expected = DAMAGE[name]
    damaged(how)
    app = open_page(NEURONS)
    assert len(app.error) == 1
    assert expected in app.error[0].value
    assert app.error[0].value.count("\n") == 0


@pytest.mark.parametrize("file", FILES)
def test_every_page_minds_a_damaged_run(damaged, open_page, file) -> None:
    damaged(DAMAGE["half a tensor file"][0])
    app = open_page(file)
    assert [("fails its checksum" in e.value) for e in app.error] == [True]


def _without(run: Path, name: str, column: str) -> None:
    """A table without one of its columns, with the checksum of what is left."""
    file = run / "tables" / f"{name}.parquet"
    pd.read_parquet(file).drop(columns=column).to_parquet(file)
    _rewrite(run, lambda m: m["files"][f"tables/{name}.parquet"].update(sha256=sha256_file(file)))


@pytest.mark.parametrize(
    ("file", "name", "column"),
    [
        ("pages/overview.py", "effect", "suite"),
        ("pages/overview.py", "answers", "prompt_id"),
        ("pages/causal_effect.py", "models", "column"),
        ("pages/transfer.py", "transfer", "target"),
        ("pages/safeguard.py", "safeguard", "train"),
    ],
)
def test_a_table_without_a_column_is_one_sentence(damaged, open_page, file, name, column) -> None:
    damaged(lambda run: _without(run, name, column))
    app = open_page(file)
    assert not app.exception
    assert [f"lacks the column “{column}”" in e.value.replace("\\", "") for e in app.error] == [True]


@pytest.mark.parametrize("file", FILES)
def test_a_missing_run_is_one_sentence(tmp_path, monkeypatch, open_page, file) -> None:
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "nowhere"))
    app = open_page(file)
    assert len(app.error) == 1
    assert "There is no run" in app.error[0].value
    assert "python -m explorer build" in app.error[0].value


@pytest.mark.parametrize("file", FILES)
def test_every_page_minds_a_name_that_leaves_the_folder(runs, open_page, file) -> None:
    app = open_page(file, run="../../etc")
    assert ["cannot be the name of a run" in e.value for e in app.error] == [True]


@pytest.mark.parametrize("name", ["/etc", "nothing", "", "a" * 500, "small/../small", "[x](http://y)"])
def test_a_run_that_is_none_is_one_sentence(runs, open_page, name) -> None:
    app = open_page(NEURONS, run=name)
    assert len(app.error) == 1
    assert "run" in app.error[0].value
    assert "](" not in app.error[0].value.replace("\\](", "")  # no link out of an address


def test_a_way_out_is_offered(runs, open_page) -> None:
    app = open_page(NEURONS, run="nothing")
    next(b for b in app.button if b.label == "Open run small").click().run()
    assert not app.error
    assert app.title[0].value == "Which neurons change most?"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"neuron": "99.1"}, "does not exist"),
        ({"neuron": "abc"}, "is not a neuron"),
        ({"neuron": "1.2, 1.3"}, "Name one neuron"),
        ({"neuron": "1." + "9" * 9}, "does not exist"),
        ({"find": "<script>"}, "is not a neuron"),
        ({"find": "1.2 1.2"}, "named twice"),
        ({"from": "200", "to": "3"}, "write the lower one first"),
    ],
)
def test_a_bad_address_is_one_sentence(runs, open_page, query, expected) -> None:
    app = open_page(NEURONS, **query)
    assert len(app.error) == 1
    assert expected in app.error[0].value


@pytest.mark.parametrize(
    ("file", "query"),
    [
        ("pages/overview.py", {"share": "0.9", "measure": "none", "prompts": "none"}),
        (NEURONS, {"rank_by": "none", "view": "none", "layers": "99", "from": "-1", "to": "x"}),
        (
            "pages/overlap.py",
            {"a": "none", "b": "none", "top": "7", "colour": "none", "compare": "none", "part": "none"},
        ),
    ],
)
def test_what_an_address_cannot_mean_is_left_out(runs, open_page, file, query) -> None:
    assert not open_page(file, **query).error
