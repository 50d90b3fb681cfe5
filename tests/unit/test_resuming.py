"""An attribution that was stopped goes on where it was: nothing kept is computed again, the sums are the same bits."""

import multiprocessing
import os
import signal

import numpy as np
import pytest

from explorer.engine.attributing import Attributing
from explorer.engine.attribution import attribution_sums
from explorer.pipeline import tasks
from explorer.pipeline.build import build, plan, work_folder
from explorer.pipeline.config import read_build_config
from explorer.pipeline.context import load_context
from explorer.pipeline.engine import LocalEngine
from explorer.pipeline.parts import Parts
from explorer.pipeline.status import Clock
from explorer.runs.reader import open_run
from explorer.studies.planning import CHUNK, Stage
from tests.tiny_build import CAUSE, CONFIG, write_build

STAGE = "ranking-cause"
MANY, FEW = 200, 10_000  # tokens of a batch: many batches, or one for each 16 texts


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr("explorer.engine.attribution.CPU_TOKENS", MANY)
    text = CONFIG[: CONFIG.index("[rankings.safety]")] + CAUSE + CONFIG[CONFIG.index("[[answers]]") :]
    text = text.replace("limit = 40\n", 'limit = 4\nranking = "cause"\n').replace(
        "[detail]", '[detail]\nranking = "cause"'
    )
    return write_build(tmp_path, text)


@pytest.fixture
def whole(config, tmp_path, monkeypatch):
    """The arrays of an uninterrupted build, and how many batches it read; later builds lie elsewhere."""
    calls = counted(monkeypatch, tasks.attribute)
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "whole"))
    arrays = built(config)
    monkeypatch.undo()
    monkeypatch.setattr("explorer.engine.attribution.CPU_TOKENS", MANY)
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    return arrays, len(calls)


def built(config, progress=None) -> dict[str, np.ndarray]:
    return open_run(build(read_build_config(config), progress=progress)).tensors("cause")


def counted(monkeypatch, task, dies_at: int = 0, how=None) -> list[int]:
    """A list that grows with each call of a task, which ends the build at the call of this number."""
    calls: list[int] = []

    def counting(*args):
        calls.append(len(calls))
        if len(calls) == dies_at:
            how()
        return task(*args)

    monkeypatch.setattr(tasks, task.__name__, counting)
    return calls


def interrupt() -> None:
    raise KeyboardInterrupt


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)


def test_an_interrupted_attribution_goes_on(config, whole, monkeypatch):
    expected, batches = whole
    assert batches > 4
    answered = counted(monkeypatch, tasks.attribution_batches)
    read = counted(monkeypatch, tasks.attribute, dies_at=4, how=interrupt)
    with pytest.raises(KeyboardInterrupt):
        built(config)
    told = []
    same(built(config, lambda stage, share: told.append(share) if stage == STAGE else None), expected)
    assert len(answered) == 2  # chunks of 16 prompts; both were kept
    assert len(read) == batches + 1  # three were kept, the fourth was lost
    assert told[:3] == [
        0.0,
        pytest.approx(0.2),
        pytest.approx(0.2 + 0.8 * 3 / batches),
    ]  # what was kept is told at once
    assert not (work_folder(read_build_config(config)) / "parts" / STAGE).exists()


def test_answers_that_were_kept_are_not_written_again(config, whole, monkeypatch):
    expected, _ = whole
    calls = counted(monkeypatch, tasks.attribution_batches, dies_at=2, how=interrupt)
    with pytest.raises(KeyboardInterrupt):
        built(config)
    same(built(config), expected)
    assert len(calls) == 3


def test_sums_of_other_batches_are_not_taken_for_these(config, whole, monkeypatch):
    """Another device reads in other batches: where the kept ones are lost, their sums are too."""
    expected, batches = whole
    read = counted(monkeypatch, tasks.attribute, dies_at=4, how=interrupt)
    with pytest.raises(KeyboardInterrupt):
        built(config)
    for file in (work_folder(read_build_config(config)) / "parts" / STAGE).glob("*/*.json"):
        file.unlink()
    monkeypatch.setattr("explorer.engine.attribution.CPU_TOKENS", FEW)
    found = built(config)
    assert len(read) - 4 < batches
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4 * np.abs(expected["scores"]).max())


def _dying(config: str, runs: str) -> None:
    """A build that is killed while it reads its fourth batch; in a process of its own."""
    os.environ["EXPLORER_RUNS"] = runs
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr("explorer.engine.attribution.CPU_TOKENS", MANY)
        counted(patching, tasks.attribute, dies_at=4, how=lambda: os.kill(os.getpid(), signal.SIGKILL))
        built(config)


def test_a_killed_attribution_goes_on(config, whole, tmp_path, monkeypatch):
    expected, batches = whole
    process = multiprocessing.get_context("forkserver").Process(target=_dying, args=(config, str(tmp_path / "cache")))
    process.start()
    process.join(240)
    assert process.exitcode == -signal.SIGKILL
    read = counted(monkeypatch, tasks.attribute)
    found = built(config)
    assert len(read) == batches - 3
    for name, value in expected.items():  # another process may have another count of threads
        np.testing.assert_allclose(found[name], value, atol=1e-4 * np.nanmax(np.abs(value)), err_msg=name)


def test_a_part_that_was_kept_before_there_were_pieces_is_taken(config, whole, monkeypatch):
    expected, batches = whole
    read = read_build_config(config)
    work = work_folder(read)
    ctx = load_context(read, work, lambda _spec, models: LocalEngine(models))
    key = next(stage.key for stage in plan(ctx) if stage.name == STAGE)
    prompts = [prompt.prompt for prompt in ctx.prompts("redteam_eval", CHUNK)]
    sums = attribution_sums(ctx.models.pair(), prompts, Attributing(3, (0.0, 0.5)))
    Parts(work / "parts" / STAGE, key).write(0, sums.to_arrays())
    calls = counted(monkeypatch, tasks.attribute)
    same(built(config), expected)
    assert len(calls) < batches - 2


def double(_models: None, _shared: None, piece: int) -> dict[str, np.ndarray]:
    return {"sum": np.array(2 * piece)}


def two_pieces(_models: None, _shared: None, item: int) -> list[int]:
    return [item, item + 1]


def test_pieces_that_were_not_joined_yet_are_not_computed_again(tmp_path):
    parts, told, numbers = Parts(tmp_path, "key"), [], iter(range(9))

    def add(found):
        if next(numbers) == 1:
            raise KeyboardInterrupt  # after the last piece of the second part
        return {"sum": sum(piece["sum"] for piece in found)}

    def fill(task):
        parts.fill_in_pieces(LocalEngine(None), two_pieces, task, None, [10, 20], add, told.append)

    with pytest.raises(KeyboardInterrupt):
        fill(double)
    assert told == pytest.approx([0.1, 0.2, 0.4, 0.6, 0.8])
    fill(lambda *_: pytest.fail("a piece is computed again"))
    assert [int(part["sum"]) for part in parts] == [42, 82]
    assert {file.name for file in tmp_path.iterdir()} == {"0.npz", "1.npz"}


def test_what_was_kept_says_nothing_of_the_speed():
    stages = [Stage(name, {}, lambda tell: None, (), 98_000.0) for name in ("one", "two")]
    times = iter([0.0, 0.0, 1.0, 11.0])
    clock = Clock(stages, [False, False], lambda: next(times))
    assert clock.tell("one", 0.0).seconds_left is None
    clock.kept()
    resumed = clock.tell("one", 0.5)
    assert (resumed.overall, resumed.seconds_left) == (0.25, None)
    assert clock.tell("one", 0.6).seconds_left == pytest.approx(11.0 * 1.4 / 0.1)
