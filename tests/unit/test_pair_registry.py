"""One registry of loaded pairs: looking changes nothing, what is in use stays, nobody sleeps through a change."""

import random
import threading
import time

import pytest
import torch

from explorer.errors import ExplorerError
from explorer.serve.expected_size import expected_size
from explorer.serve.generation import COLUMNS, Generation
from explorer.serve.loading import SharedPair
from explorer.serve.pairs import MEMORY, PairRegistry, memory_budget
from explorer.serve.worker import Worker
from tests import tiny
from tests.unit.test_worker import Slow, finish, no_score, request, until


class Models:
    """Stands for a loaded pair of a size."""

    devices = ("cpu",)

    def __init__(self, size: int) -> None:
        self.backbone1 = self.backbone2 = torch.nn.Module()
        self.backbone1.register_buffer("weights", torch.zeros(size, dtype=torch.uint8))
        self.memory_bytes = size


class House:
    """A registry whose pairs are made here, and what has been loaded how often, and how many at once."""

    def __init__(self, budget: int = 100, pause: float = 0.0, **sizes: int) -> None:
        self.loads: list[str] = []
        self.loading = self.most = 0
        self.sizes, self.pause = sizes, pause
        self.registry = PairRegistry(lambda _kind: budget, self.make, lambda _name: ("cpu", 0))

    def make(self, name: str, make_room) -> SharedPair:
        def load(tell):
            self.loading += 1
            self.most = max(self.most, self.loading)
            tell("Loading", 0.5)
            time.sleep(self.pause)
            self.loading -= 1
            self.loads.append(name)
            tell("Loaded", 1.0)
            return Models(self.sizes[name])

        return SharedPair(name, load, make_room)

    def load(self, *names: str) -> None:
        for name in names:
            shared = self.registry.service(name).pair
            shared.start()
            assert shared.wait(5)

    @property
    def there(self) -> set[str]:
        return {name for name, service in self.registry.all().items() if service.pair.ready}


def test_looking_at_a_pair_makes_nothing_and_there_is_one_service_of_each():
    house = House(a=10, b=10)
    assert house.registry.peek("a") is None
    assert house.registry.all() == {}
    assert house.registry.service("a") is house.registry.service("a")
    assert house.registry.peek("a") is house.registry.service("a")
    house.load("a")
    for name in "bcdef":
        house.registry.peek(name)
    house.load("a")
    assert house.loads == ["a"]


def test_a_pair_of_unknown_size_takes_the_place_of_all_that_nobody_uses_and_of_none_that_somebody_does():
    house = House(a=10, b=10, c=10)
    house.load("a", "b")
    assert house.there == {"b"}
    with house.registry.service("b").pair.used():
        house.load("c")
        assert house.there == {"b", "c"}


def test_within_the_budget_pairs_stay_and_what_was_used_longest_ago_leaves_first():
    house = House(100, a=40, b=40, c=40)
    with house.registry.service("a").pair.used():
        house.load("a", "b")
    house.load("c", "a", "b")  # now the sizes of all are known
    assert house.there == {"a", "b"}
    with house.registry.service("a").pair.used():
        pass  # so that b is the one that was used longest ago
    house.load("c")
    assert house.there == {"a", "c"}
    assert house.loads[-1] == "c"


def test_a_size_is_told_from_the_files_before_the_first_load(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_PAIRS", str(tmp_path))
    for name in "ab":
        tiny.model("llama").save_pretrained(tmp_path / name)
    (tmp_path / "mine.toml").write_text('dtype = "float32"\n[m1]\nbase = "a"\n[m2]\nbase = "b"\n')
    (tmp_path / "half.toml").write_text('dtype = "bfloat16"\n[m1]\nbase = "a"\n[m2]\nbase = "b"\n')
    files = sum(file.stat().st_size for file in tmp_path.glob("*/*.safetensors"))
    assert expected_size("mine") == ("cpu", files)  # they are kept in float32
    assert abs(expected_size("half")[1] - files / 2) <= 1
    (tmp_path / "far.toml").write_text('device = "cuda:0"\n[m1]\nbase = "org/a"\n[m2]\nbase = "org/b"\n')
    assert expected_size("far") == ("cuda", 0)
    (tmp_path / "near.toml").write_text('device = "auto"\ndtype = "float32"\n[m1]\nbase = "a"\n[m2]\nbase = "b"\n')
    for gpu, kind in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        assert expected_size("near") == (kind, files)
    assert expected_size("lost") == ("cpu", 0)


def test_a_model_that_two_pairs_share_is_counted_once(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_PAIRS", str(tmp_path))
    for seed, name in enumerate(("base", "safe", "kind", "third")):
        tiny.model("llama", seed).save_pretrained(tmp_path / name)
        tiny.tokenizer().save_pretrained(tmp_path / name)
    for name in ("safe", "kind", "third"):
        file = f'dtype = "float32"\n[m1]\nbase = "base"\n[m2]\nbase = "{name}"\n'
        (tmp_path / f"with-{name}.toml").write_text(file)
    one = sum(file.stat().st_size for file in (tmp_path / "base").glob("*.safetensors"))
    registry = PairRegistry(lambda _kind: int(3.4 * one))

    def load(name: str) -> set[str]:
        registry.service(name).pair.start()
        assert registry.service(name).pair.wait(60)
        return {name for name, service in registry.all().items() if service.pair.ready}

    assert load("with-safe") == {"with-safe"}
    assert load("with-kind") == {"with-safe", "with-kind"}  # three models, of which M1 is one
    assert load("with-third") == {"with-kind", "with-third"}  # a fourth has no room


def test_what_does_not_fit_beside_those_in_use_is_one_sentence():
    house = House(100, a=60, b=60)
    house.load("a", "b", "a")
    with house.registry.service("a").pair.used():
        house.load("b")
        with pytest.raises(ExplorerError, match="and pairs that others work with"):
            house.registry.service("b").pair.result()
    house.load("b")
    assert house.there == {"b"}


def test_to_load_one_pair_leaves_the_loading_of_another_alone_and_one_is_loaded_at_a_time():
    house = House(pause=0.1, a=1, b=1, c=1)
    pairs = [house.registry.service(name).pair for name in "abc"]
    for shared in pairs:
        shared.start()
    time.sleep(0.05)
    assert pairs[1].progress[0] == "Waiting for another pair to load"
    with pairs[0].used(), pairs[1].used(), pairs[2].used():
        assert all(shared.wait(5) for shared in pairs)
    assert [shared.problem for shared in pairs] == [""] * 3
    assert house.most == 1
    assert sorted(house.loads) == ["a", "b", "c"]


def test_one_that_waits_for_another_to_load_can_be_cancelled():
    house = House(pause=0.3, a=1, b=1)
    first, second = (house.registry.service(name).pair for name in "ab")
    first.start()
    second.start()
    assert second.cancel()
    assert second.wait(0.1)
    assert first.wait(5)
    second._last.join(5)
    assert house.loads == ["a"]


def test_what_somebody_waits_for_or_works_with_is_neither_cancelled_nor_released():
    go_on = threading.Event()
    shared = SharedPair("any", lambda _tell: go_on.wait(5) and Models(1))
    with shared.used():
        shared.start()
        assert not shared.cancel()
        go_on.set()
        assert shared.wait(5)
        assert not shared.release()
        assert shared.ready
    assert shared.release()
    assert not shared.ready


def test_a_generation_is_not_ended_by_somebody_who_cancels_or_releases():
    go_on = threading.Event()
    pair = tiny.shared_pair()
    shared = SharedPair("tiny", lambda _tell: go_on.wait(5) and pair)
    worker = Worker(shared, Slow(pause=0.002, steps=20), no_score)
    generation = Generation(request())
    worker.submit(generation)
    until(lambda: shared.loading, generation)
    shared.cancel()
    go_on.set()
    until(lambda: generation.tokens > 0, generation)
    shared.release()
    finish(generation)
    assert generation.problem == ""


@pytest.mark.parametrize("seed", range(4))
def test_nobody_sleeps_through_a_change(seed):
    """Loads, cancels, releases and waits in any order from several threads: who waits hears of the end of it."""
    rng, stop, stuck = random.Random(seed), threading.Event(), []

    def load(tell):
        for share in (0.2, 0.6):
            time.sleep(rng.random() * 0.003)
            tell("Loading", share)
        if rng.random() < 0.1:
            raise ExplorerError("The disk is full.")
        return Models(1)

    shared = SharedPair("any", load)

    def meddle(number: int) -> None:
        own = random.Random(1000 * seed + number)
        while not stop.is_set():
            own.choice([shared.cancel, shared.release, shared.start])()
            time.sleep(own.random() * 0.002)

    def use() -> None:
        for _ in range(120):
            with shared.used():
                shared.start()
                if not shared.wait(5):
                    stuck.append(shared._state)
                    return

    meddlers = [threading.Thread(target=meddle, args=(i,)) for i in range(2)]
    users = [threading.Thread(target=use) for _ in range(3)]
    for thread in meddlers + users:
        thread.start()
    for thread in users:
        thread.join()
    stop.set()
    for thread in meddlers:
        thread.join()
    assert stuck == []
    assert shared.users == 0


def test_a_changed_pair_file_is_another_pair(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_PAIRS", str(tmp_path))
    file = tmp_path / "mine.toml"
    file.write_text('[m1]\nbase = "org/a"\n[m2]\nbase = "org/b"\n')
    house = House()
    before = house.registry.service("mine")
    assert house.registry.service("mine") is before
    file.write_text('[m1]\nbase = "org/a"\n[m2]\nbase = "org/other"\n')
    import os

    os.utime(file, ns=(1, 1))
    assert house.registry.service("mine") is not before


def test_the_budget_is_a_setting(monkeypatch):
    monkeypatch.setenv(MEMORY, "1.5")
    assert memory_budget("cpu") == 1_500_000_000
    monkeypatch.setenv(MEMORY, "much")
    with pytest.raises(ExplorerError, match="must be a number of gigabytes"):
        memory_budget("cpu")
    monkeypatch.delenv(MEMORY)
    assert memory_budget("cpu") > 0


@pytest.mark.slow
def test_five_minutes_of_everything_beside_a_generating_session(monkeypatch):
    """View, load, release and cancel by three sessions in random order, beside one that generates all the time."""
    kinds = {"demo": tiny.shared_pair(), "llama2-7b": tiny.lockstep_pair(), "gemma-7b": tiny.any_pair("gpt2")}
    loads: list[str] = []

    def make(name, make_room) -> SharedPair:
        def load(tell):
            for share in (0.3, 0.6, 0.9):
                time.sleep(0.05)
                tell("Loading", share)
            loads.append(name)
            return kinds[name]

        return SharedPair(name, load, make_room)

    registry = PairRegistry(lambda _kind: 10**6, make)
    stop, wrong, done = time.monotonic() + 300, [], [0]
    expected: dict = {}

    def meddle(seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < stop:
            name, act = rng.choice(list(kinds)), rng.choice(["view", "view", "load", "release", "cancel"])
            service = registry.peek(name)
            if act == "load":
                registry.service(name).pair.start()
            elif service is not None and act != "view":
                getattr(service.pair, act)()
            time.sleep(rng.random() * 0.05)

    def generate() -> None:
        rng = random.Random(9)
        while time.monotonic() < stop:
            name = rng.choice(["demo", "demo", "llama2-7b", "gemma-7b"])
            pair, asked = kinds[name], request(rng.choice(tiny.PROMPTS), 30, 12)
            generation = Generation(asked)
            registry.service(name).worker.submit(generation, "me")
            end = time.monotonic() + 30
            while generation.active and time.monotonic() < end:
                generation.drain()
                time.sleep(0.005)
            key = (name, asked.prompt)
            if key not in expected:
                import explorer

                out = explorer.generate(pair, [asked.prompt], asked.neurons, 12)
                expected[key] = {n: getattr(out, n)[0].text for n in COLUMNS}
            texts = {n: c.text for n, c in generation.columns.items()}
            if generation.active or generation.problem or texts != expected[key]:
                wrong.append((key, generation.active, generation.problem, texts))
            done[0] += 1

    monkeypatch.setattr("explorer.serve.once.score_answers", no_score)
    threads = [threading.Thread(target=meddle, args=(i,)) for i in range(3)] + [threading.Thread(target=generate)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert done[0] > 100
