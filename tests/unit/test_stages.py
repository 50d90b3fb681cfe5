"""Stages run once for the same inputs, again when one changed, and never leave half a record."""

import pytest

from explorer.pipeline.stages import Stage, read_json, run_stage


def make(work, inputs, log):
    def run(tell):
        log.append(inputs)
        tell(0.5)
        (work / "out.txt").write_text(str(inputs))
        return {"seen": inputs}

    return Stage("one", {"x": inputs}, run, ("out.txt",))


def test_a_stage_runs_again_only_when_its_inputs_changed(tmp_path):
    log, told = [], []
    for inputs in (1, 1, 2, 2):
        result = run_stage(make(tmp_path, inputs, log), tmp_path, lambda name, share: told.append((name, share)))
        assert result == {"seen": inputs}
    assert log == [1, 2]
    assert told[0] == ("one", 0.0)
    assert told[-1] == ("one", 1.0)


def test_a_stage_runs_again_when_its_output_is_gone(tmp_path):
    log = []
    run_stage(make(tmp_path, 1, log), tmp_path, lambda *_: None)
    (tmp_path / "out.txt").unlink()
    run_stage(make(tmp_path, 1, log), tmp_path, lambda *_: None)
    assert log == [1, 1]


def test_a_stage_that_fails_leaves_no_record(tmp_path):
    def run(_tell):
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        run_stage(Stage("one", {}, run, ()), tmp_path, lambda *_: None)
    assert read_json(tmp_path / "stages" / "one.json") is None
