"""The embedded model's folder: whole or not there, checked byte for byte, converted by one process only."""

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from explorer.digests import sha256_file
from explorer.errors import ExplorerError
from explorer.models import embedded, gguf


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A stand-in for the wheel's file and for the conversion, which writes a small file slowly."""
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path / "user"))
    source = tmp_path / "model.gguf"
    source.write_bytes(b"gguf")
    stand_in(source, monkeypatch.setattr)
    return tmp_path


def stand_in(source: Path, setattr_) -> None:
    def convert(_source, work, _progress):
        with (source.parent / "conversions").open("a") as log:
            log.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        (work / "model.safetensors").write_bytes(b"weights")

    setattr_(embedded, "gguf_file", lambda: source)
    setattr_(embedded, "_GGUF_SHA256", sha256_file(source))
    setattr_(gguf, "_dequantise", convert)


def convert_in_a_process(folder: str) -> None:
    os.environ["EXPLORER_CACHE"] = f"{folder}/user"
    stand_in(Path(folder) / "model.gguf", setattr)
    embedded.ensure()


def conversions(folder: Path) -> int:
    return len((folder / "conversions").read_text().splitlines())


def test_it_is_converted_once_with_progress(wheel):
    told = []
    first = embedded.ensure(lambda what, share: told.append((what, share)))
    assert embedded.ensure() == first
    assert conversions(wheel) == 1
    assert told[-1] == ("Model ready", 1.0)
    assert json.loads((first / "converted.json").read_text())["files"].keys() == {"model.safetensors"}


def test_two_processes_at_once_convert_it_once(wheel):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=convert_in_a_process, args=(str(wheel),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert conversions(wheel) == 1
    assert (wheel / "user" / f"{embedded.NAME}-v1" / "model.safetensors").read_bytes() == b"weights"


def test_a_damaged_conversion_is_made_again(wheel):
    folder = embedded.ensure()
    (folder / "model.safetensors").write_bytes(b"w")
    assert (embedded.ensure() / "model.safetensors").read_bytes() == b"weights"
    assert conversions(wheel) == 2


def test_a_conversion_that_fails_leaves_nothing(wheel, monkeypatch):
    def fails(_source, work, _progress):
        (work / "model.safetensors").write_bytes(b"half")
        raise RuntimeError("power cut")

    monkeypatch.setattr(gguf, "_dequantise", fails)
    with pytest.raises(RuntimeError):
        embedded.ensure()
    assert [p.name for p in (wheel / "user").iterdir() if not p.name.endswith(".lock")] == []


def test_a_damaged_package_and_a_missing_one_are_one_sentence(wheel, monkeypatch):
    monkeypatch.setattr(embedded, "_GGUF_SHA256", "0" * 64)
    with pytest.raises(ExplorerError, match="checksum"):
        embedded.ensure()
    monkeypatch.setattr(embedded, "gguf_file", lambda: None)
    with pytest.raises(ExplorerError, match="not installed; run pip install --no-deps"):
        embedded.ensure()
    assert not embedded.available()


def test_a_gguf_file_of_ones_own_is_unpacked_once_until_it_changes(wheel):
    file = wheel / "model.gguf"
    first = gguf.unpacked(file)
    assert gguf.unpacked(file) == first
    assert conversions(wheel) == 1
    file.write_bytes(b"another")
    assert gguf.unpacked(file) != first
    assert conversions(wheel) == 2


def test_no_gguf_file_and_one_that_is_none_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path / "user"))
    with pytest.raises(ExplorerError, match="There is no GGUF file"):
        gguf.unpacked(tmp_path / "absent.gguf")
    nonsense = tmp_path / "nonsense.gguf"
    nonsense.write_bytes(b"this is not a model" * 100)
    with pytest.raises(ExplorerError, match="is not a GGUF model that transformers can read"):
        gguf.unpacked(nonsense)
    assert not list((tmp_path / "user" / "gguf").glob("nonsense*[!k]"))
