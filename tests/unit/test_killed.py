"""A build that is killed (SIGKILL) at random moments goes on and ends with the tables of an undisturbed one."""

import multiprocessing
import os
import random
import time

import pytest

from explorer.pipeline.build import build, work_folder
from explorer.pipeline.config import read_build_config
from explorer.pipeline.status import StatusFile, read_status
from tests import tiny
from tests.close import assert_tables_close
from tests.tiny_build import CONFIG, tables, write_build

KILLS = 2
SMALL = CONFIG.replace("limit = 40", "limit = 64")


def _build(config: str, runs: str) -> None:
    """The build, as the command line runs it; in a process of its own."""
    os.environ["EXPLORER_RUNS"] = runs
    read = read_build_config(config)
    with StatusFile(work_folder(read)) as status:
        build(read, watch=status.tell)


def _killed_again_and_again(tmp_path, monkeypatch, kills: int, config: str = SMALL) -> None:
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "whole"))
    file = write_build(tmp_path, config)
    started = time.monotonic()
    expected = tables(build(read_build_config(file)))
    needed = time.monotonic() - started

    runs = tmp_path / "cache"
    monkeypatch.setenv("EXPLORER_RUNS", str(runs))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["explorer.pipeline.build", "explorer.engine.patching", "transformers", "peft"])
    moments = random.Random(0)
    for _ in range(kills):
        process = context.Process(target=_build, args=(str(file), str(runs)))
        process.start()
        process.join(moments.uniform(0.1, 1.0) * needed)
        process.kill()
        process.join()
        known = read_status(work_folder(read_build_config(file)))
        assert known is None or known.state in ("stopped", "done")
        if (runs / "tiny").exists():  # whatever is published is whole
            tables(runs / "tiny")
    process = context.Process(target=_build, args=(str(file), str(runs)))
    process.start()
    process.join(240)
    assert process.exitcode == 0
    found = tables(runs / "tiny")
    assert set(found) == set(expected)
    for name, table in expected.items():
        assert_tables_close(found[name], table, tiny.LAYERS)


def test_a_killed_build_goes_on(tmp_path, monkeypatch):
    _killed_again_and_again(tmp_path, monkeypatch, KILLS)


@pytest.mark.slow
def test_ten_times_killed(tmp_path, monkeypatch):
    _killed_again_and_again(tmp_path, monkeypatch, 10)
