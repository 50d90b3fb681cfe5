"""Who builds: a process is known by its number and its start, and only one builds a run at a time."""

import os
import subprocess
import sys
from dataclasses import asdict, replace

import psutil
import pytest

from explorer.errors import ExplorerError
from explorer.files import write_json
from explorer.pipeline.status import FILE, Known, StatusFile, read_status
from explorer.serve import builds
from tests.tiny_build import CONFIG

HOLD = """
import sys, time
from pathlib import Path
from explorer.pipeline.status import StatusFile
with StatusFile(Path(sys.argv[1])):
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def stranger():
    """A process of Python that is no build."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The work folder of a build file of that name."""
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "runs"))
    (tmp_path / "build.toml").write_text(CONFIG)
    folder = tmp_path / "runs" / ".build-tiny"
    folder.mkdir(parents=True)
    return folder


def test_a_stranger_with_the_number_of_a_build_is_no_build_and_is_left_alone(work, tmp_path, stranger):
    began = psutil.Process(stranger.pid).create_time()
    for created in (began - 3600, 0.0):  # 0: a file of before processes were known by their start
        write_json(work / FILE, asdict(Known("running", stranger.pid, created=created)))
        known = read_status(work)
        assert known is not None
        assert known.state == "stopped"
        builds.cancel(tmp_path / "build.toml")
        assert stranger.poll() is None
    write_json(work / FILE, asdict(Known("running", stranger.pid, created=began)))
    assert read_status(work).state == "running"
    builds.cancel(tmp_path / "build.toml")
    assert stranger.wait(10) != 0


@pytest.mark.parametrize("pid", [-1, 0, 2**40])
def test_a_number_that_no_process_has_is_a_stopped_build(work, pid):
    write_json(work / FILE, asdict(Known("running", pid)))
    assert read_status(work).state == "stopped"


def test_two_processes_never_build_one_run(work):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(work)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "holds\n"
        with pytest.raises(ExplorerError, match=f"Process {other.pid} is building"):
            StatusFile(work).__enter__()
        (work / FILE).unlink()  # whatever the file says, and where there is none
        with pytest.raises(ExplorerError, match="Another process is building"):
            StatusFile(work).__enter__()
    finally:
        other.kill()
        other.wait()
    with StatusFile(work):  # killed, it holds nothing any more
        assert read_status(work).pid == os.getpid()
    assert read_status(work).state == "done"
    assert replace(read_status(work), state="running").process() is not None
