"""A real local Ray with two workers, one of which is killed: the tables of one process."""

import os
import signal

import pytest

from explorer.errors import ExplorerError
from explorer.pipeline import build as build_module
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from tests import tiny
from tests.close import assert_tables_close
from tests.tiny_build import CONFIG, tables, write_adapter, write_build

pytest.importorskip("ray", reason="ray is not installed (pip install ray==2.60.0)")

STUDIES = """
[adapters.helpful]
folder = "helpful"
[rankings.helpful]
suite = "redteam_eval"
adapter = "helpful"
limit = 20
max_new_tokens = 4
[ablation]
suites = ["everyday_eval"]
fraction = 0.3
limit = 18
"""


@pytest.fixture
def config(tmp_path):
    write_adapter(tmp_path / "helpful", seed=5)
    text = CONFIG.replace("limit = 6", "limit = 40") + STUDIES
    return read_build_config(write_build(tmp_path, text))


def test_two_workers_of_which_one_is_killed(config, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "local"))
    expected = tables(build(config))

    engines, killed = [], []
    make = build_module.make_engine
    monkeypatch.setattr(build_module, "make_engine", lambda *a: engines.append(make(*a)) or engines[-1])

    def kill_once(stage: str, share: float) -> None:
        if stage == "answers-redteam_eval" and 0 < share < 1 and not killed:
            killed.append(engines[0].pids()[0])
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "ray"))
    found = tables(build(config, engine="ray", workers=2, progress=kill_once))
    assert killed
    assert set(found) == set(expected)
    for name, table in expected.items():
        assert_tables_close(found[name], table, tiny.LAYERS)


def test_a_mistake_in_a_worker_is_one_sentence(tmp_path):
    from explorer.models.pair_spec import ModelSpec, PairSpec
    from explorer.pipeline import tasks
    from explorer.pipeline.models import ModelsSpec
    from explorer.pipeline.ray_engine import RayEngine

    lost = ModelSpec(str(tmp_path / "lost"))
    engine = RayEngine(ModelsSpec(PairSpec("none", lost, lost), "float32"), 1)
    try:
        with pytest.raises(ExplorerError, match="could not be loaded"):
            list(engine.map(tasks.contrast, tasks.Contrasting(4, "paper", "m1", "m2"), [["Hi"]]))
    finally:
        engine.close()
