"""Three sessions that view, load, release, build, stop and kill in random order, beside one that generates.

EXPLORER_STRESS_SECONDS=60 for a shorter run than the five minutes.
"""

import gc
import os
import random
import threading
import time
import weakref
from collections import Counter
from pathlib import Path

import pytest

import explorer
from explorer.errors import ExplorerError
from explorer.models.pair import Pair, load_pair
from explorer.runs.reader import open_run, run_names
from explorer.serve import builds
from explorer.serve.generation import COLUMNS, Generation
from explorer.serve.loading import SharedPair
from explorer.serve.metrics import metrics_text
from explorer.serve.pairs import PairRegistry
from tests import tiny
from tests.tiny_build import tables, write_adapter, write_build
from tests.unit.test_worker import no_score, request

SECONDS = float(os.environ.get("EXPLORER_STRESS_SECONDS", "300"))
SEED = 22
ACTS = ("view", "view", "view", "load", "load", "release", "release", "cancel", "build", "stop", "kill", "look")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 600)]


class Loads:
    """Makes the pairs of a registry from their files, and sees that none is held twice."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.twice: list[str] = []
        self._held: dict[str, weakref.ref[Pair]] = {}

    def make(self, name: str, make_room) -> SharedPair:
        def load(tell) -> Pair:
            gc.collect()
            before = self._held.get(name)
            if before is not None and before() is not None:
                self.twice.append(name)
            found = load_pair(name, progress=tell)
            self.count[name] += 1
            self._held[name] = weakref.ref(found)
            return found

        return SharedPair(name, load, make_room)


def places(folder: Path) -> tuple[list[str], Path]:
    """Three pair files, of exact models, and a build file."""
    file = write_build(folder)
    for name, seed in (("pair", 3), ("second", 5), ("third", 7)):
        write_adapter(folder / f"ia3-{name}", seed)
        text = f'dtype = "float32"\n[m1]\nbase = "base"\n[m2]\nbase = "base"\nadapters = ["ia3-{name}"]\n'
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return [str(folder / f"{name}.toml") for name in ("pair", "second", "third")], file


def test_everything_at_once_beside_a_generating_session(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr("explorer.serve.once.score_answers", no_score)  # of the embedded model, not of these
    names, file = places(tmp_path)
    loads, acts, wrong, problems = Loads(), Counter(), [], []
    registry = PairRegistry(lambda _kind: 10**9, loads.make)
    stop, answered = time.monotonic() + SECONDS, Counter()
    longest = 0.0

    def meddle(seed: int) -> None:
        rng = random.Random(SEED + seed)
        while time.monotonic() < stop:
            act = rng.choice(ACTS)
            try:
                do(act, rng.choice(names), file, registry)
                acts[act] += 1
            except ExplorerError as known:  # "is being built already"
                acts[f"{act}: {known}"[:60]] += 1
            except Exception as problem:  # noqa: BLE001  told when all have ended
                problems.append(repr(problem))
            time.sleep(rng.random() * 0.5)

    def generate() -> None:
        nonlocal longest
        rng, expected = random.Random(SEED), {}
        while time.monotonic() < stop:
            name, prompt = rng.choice(names), rng.choice(tiny.PROMPTS)
            generation, began = Generation(request(prompt, 30, 12)), time.monotonic()
            registry.service(name).worker.submit(generation, "me")
            while generation.active:
                generation.drain()
                time.sleep(0.005)
            longest = max(longest, time.monotonic() - began)
            if (name, prompt) not in expected:
                out = explorer.generate(load_pair(name), [prompt], generation.request.neurons, 12)
                expected[name, prompt] = {column: getattr(out, column)[0].text for column in COLUMNS}
            texts = {column: its.text for column, its in generation.columns.items()}
            answered[name] += 1
            if generation.problem or generation.notice or texts != expected[name, prompt]:
                wrong.append((name, prompt, generation.problem, generation.notice, texts))

    threads = [threading.Thread(target=meddle, args=(i,)) for i in range(3)] + [threading.Thread(target=generate)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + 240)
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"
    print(f"\n{sum(answered.values())} answers, longest wait {longest:.1f} s; loads {dict(loads.count)}; {dict(acts)}")
    assert (wrong, problems, loads.twice) == ([], [], [])
    assert sum(answered.values()) > 2
    until_idle(file)
    assert set(run_names()) <= {"tiny"}
    finish(file)
    assert "answers" in tables(tmp_path / "runs" / "tiny")
    assert [path.name for path in (tmp_path / "runs").iterdir() if not path.name.startswith(".")] == ["tiny"]


def do(act: str, name: str, file: Path, registry: PairRegistry) -> None:
    """What a session does."""
    if act == "view":
        registry.peek(name)
        metrics_text()
    elif act in ("load", "release", "cancel"):
        getattr(registry, act)(name)
    elif act == "build":
        builds.start(file)
    elif act == "stop":
        builds.cancel(file)
    elif act == "kill":
        for child in list(builds._started.values()):
            child.kill()
    elif act == "look":
        builds.look(file)
        for found in run_names():
            open_run(Path(os.environ["EXPLORER_RUNS"]) / found)


def until_idle(file: Path, seconds: float = 120) -> None:
    """Wait until no build goes on."""
    end = time.monotonic() + seconds
    while builds.look(file).active:
        assert time.monotonic() < end
        builds.cancel(file)
        time.sleep(0.5)


def finish(file: Path, seconds: float = 300) -> None:
    """Build to the end what was killed so often."""
    builds.start(file)
    end = time.monotonic() + seconds
    while (found := builds.look(file)).active:
        assert time.monotonic() < end
        time.sleep(0.5)
    assert found.state == "done", found.problem
