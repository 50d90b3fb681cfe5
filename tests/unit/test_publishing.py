"""At every moment there is a whole run in the place of one, whenever the process that publishes another is killed."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from explorer.runs import publishing
from explorer.runs.reader import find_run, run_names
from explorer.runs.writer import RunWriter

FORMS = ["one step", "two steps"]

KILLED = """
import os, signal, sys
from pathlib import Path
from explorer.runs import publishing
if sys.argv[3] == "two steps":
    publishing._exchange = lambda *_: False
moment, count = int(sys.argv[4]), 0
def watched(call):
    def inner(*args, **kwargs):
        global count
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return inner
# Before each call that changes names, and behind the last one.
os.rename, os.replace = watched(os.rename), watched(os.replace)
Path.rename = lambda self, to: os.rename(self, to)
publishing._exchange, publishing.remove = watched(publishing._exchange), watched(publishing.remove)
publishing.put_in_place(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def write(folder, name: str, title: str):
    writer = RunWriter(folder / f".build-{name}")
    writer.publish({"title": title, "pair": {"n_layers": 3, "n_neurons": 8}, "rankings": {}}, folder / name)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    write(tmp_path, "mine", "old")
    write(tmp_path, "new", "new")
    (tmp_path / "new").rename(tmp_path / ".mine-half")
    return tmp_path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("moment", range(1, 7))
def test_a_kill_at_any_moment_leaves_a_whole_run(cache, form, moment):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(cache / ".mine-half"), str(cache / "mine"), form, str(moment)], timeout=60
    )
    assert done.returncode in (0, -signal.SIGKILL)
    assert run_names() == ["mine"]
    assert find_run("mine").manifest["title"] in ("old", "new")
    assert find_run("mine").check() == []
    if done.returncode == 0:
        assert find_run("mine").manifest["title"] == "new"
    write(cache, "mine", "newest")  # whatever was left is no hindrance
    assert find_run("mine").manifest["title"] == "newest"
    assert sorted(p.name for p in cache.iterdir() if "mine" in p.name) == [".build-mine", "mine"]


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no system call that exchanges two names")
def test_a_reader_never_finds_no_run(cache):
    missing, stop = [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            if not os.path.exists(cache / "mine" / "manifest.json"):
                missing.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(30):
        write(cache, "mine", f"number {number}")
    stop.set()
    reader.join()
    assert missing == []
    assert find_run("mine").manifest["title"] == "number 29"


def test_what_was_put_aside_does_not_take_the_place_of_a_run(cache):
    (cache / ".mine-half").rename(publishing.old_of(cache / "mine"))
    assert find_run("mine").manifest["title"] == "old"


def test_a_link_in_the_place_of_a_run_is_replaced_and_what_it_leads_to_stays(cache):
    (cache / "mine").rename(cache / "elsewhere")
    (cache / "mine").symlink_to(cache / "elsewhere")
    write(cache, "mine", "newest")
    assert not (cache / "mine").is_symlink()
    assert find_run("mine").manifest["title"] == "newest"
    assert find_run("elsewhere").manifest["title"] == "old"
