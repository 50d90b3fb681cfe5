"""Public mode: every way to change the server is refused by the server itself, and requests are limited."""

import inspect
import json
import logging
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import psutil
import pytest

from explorer import public
from explorer.engine.options import Sampling
from explorer.errors import ExplorerError
from explorer.models import pair_file
from explorer.models.pair_spec import ModelSpec
from explorer.neurons.patch import Patch
from explorer.paths import PROJECT
from explorer.serve import app_command, build_files, builds, events, snapshots, watching
from explorer.serve.app_command import AppSettings
from explorer.serve.generation import Generation, Request
from explorer.serve.loading import SharedPair
from explorer.serve.metrics import metrics_text
from explorer.serve.neuron_reading import NeuronReading, NeuronRequest
from explorer.serve.pairs import PAIRS, PairRegistry
from explorer.serve.prompt_list import ListRequest, PromptList
from explorer.serve.strip import Strip, StripRequest
from explorer.serve.tracing import TraceRequest, Tracing
from explorer.serve.worker import Worker
from tests import tiny
from tests.serving import free_port, serving
from tests.unit.test_worker import Slow, finish, no_score, request

PAGE = (PROJECT / "docs" / "server.md").read_text(encoding="utf-8")
BUILD = PROJECT / "configs" / "build" / "small.toml"


@pytest.fixture
def server(tmp_path, monkeypatch) -> Path:
    """A public server whose folders are empty ones of its own."""
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("EXPLORER_PAIRS", str(tmp_path / "pairs"))
    monkeypatch.setenv(public.SETTING, "1")
    return tmp_path


def registry() -> PairRegistry:
    def make(name, make_room):
        return SharedPair(name, lambda _tell: pytest.fail("a pair was loaded"), make_room)

    return PairRegistry(make=make)


REFUSED: dict[str, Callable[[], object]] = {
    "serve.pairs.PairRegistry.load": lambda: registry().load("demo"),
    "serve.pairs.PairRegistry.service": lambda: registry().service("llama2-7b"),
    "serve.pairs.PairRegistry.cancel": lambda: registry().cancel("demo"),
    "serve.pairs.PairRegistry.release": lambda: registry().release("demo"),
    "models.pair_file.write_pair_file": lambda: pair_file.write_pair_file(
        "mine", {}, {"m1": ModelSpec("org/a"), "m2": ModelSpec("org/b")}
    ),
    "serve.build_files.write_build_file": lambda: build_files.write_build_file("mine", "demo"),
    "serve.builds.start": lambda: builds.start(BUILD),
    "serve.builds.cancel": lambda: builds.cancel(BUILD),
    "serve.snapshots.save": lambda: snapshots.save(None),
}
LIMITED = {"serve.worker.Worker.submit", "serve.line.Line.add"}


@pytest.mark.parametrize("way", REFUSED)
def test_what_changes_the_server_is_refused_and_leaves_nothing(server, way):
    with pytest.raises(ExplorerError, match="is not possible on this public server"):
        REFUSED[way]()
    assert list(server.rglob("*")) == []


def test_the_table_of_the_docs_is_that_of_the_code():
    rows = dict(re.findall(r"^\| [^|]+ \| `([\w.]+)` \| (refused|limited)[^|]* \|$", PAGE, re.M))
    assert rows == {**dict.fromkeys(REFUSED, "refused"), **dict.fromkeys(LIMITED, "limited")}
    for name in rows:
        parts = name.split(".")
        at = next(i for i, part in enumerate(parts) if part[0].isupper()) if re.search(r"\.[A-Z]", name) else -1
        found = import_module("explorer." + ".".join(parts[:at]))
        for part in parts[at:]:
            found = getattr(found, part)
        assert callable(found)
    for name, default in vars(public.PublicLimits()).items():
        assert re.search(rf"`EXPLORER_PUBLIC_{name.upper()}` \| [^|]+ \| {default:,} \|", PAGE)


def test_whatever_else_asks_is_in_the_table():
    """Each function that asks `refuse_in_public` is one of the table: a new one has to be told of."""
    asking = set()
    for file in (PROJECT / "explorer").rglob("*.py"):
        if "share" in file.parts or file.name == "public.py":
            continue
        text = file.read_text(encoding="utf-8")
        if "refuse_in_public(" in text:
            module = ".".join(file.relative_to(PROJECT).with_suffix("").parts)
            loaded = import_module(module)
            own = [kind for kind in vars(loaded).values() if inspect.isclass(kind) and kind.__module__ == module]
            functions = [f for holder in (loaded, *own) for f in vars(holder).values() if inspect.isfunction(f)]
            asking |= {
                f"{module.removeprefix('explorer.')}.{f.__qualname__}"
                for f in functions
                if f.__module__ == module and "refuse_in_public" in f.__code__.co_names
            }
    assert asking == set(REFUSED)


@pytest.mark.parametrize("said", ["", "0", "false", "no"])
def test_a_private_server_refuses_nothing(server, monkeypatch, said):
    monkeypatch.setenv(public.SETTING, said)
    public.refuse_in_public("Anything")
    public.check_size(10**6, ["x" * 10**6])
    assert build_files.write_build_file("mine", "demo").is_file()


def test_the_pairs_of_shown_runs_are_served(server, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(PROJECT / "cache"))
    assert registry().service("demo").pair.name == "demo"
    with pytest.raises(ExplorerError, match="Loading other models"):
        registry().service("gemma-7b")


def test_lists_and_conversations_are_limited(server):
    worker, ns = Worker(SharedPair("tiny", lambda _tell: pytest.fail("loaded"))), request().neurons
    with pytest.raises(ExplorerError, match="has 9 prompts; this public server takes 8"):
        worker.submit(PromptList(ListRequest(("Why?",) * 9, ns, None, 8)))
    with pytest.raises(ExplorerError, match="has 2,001 characters"):
        worker.submit(PromptList(ListRequest(("Why?", "x" * 2001), ns, None, 8)))
    with pytest.raises(ExplorerError, match="has 2,004 characters"):
        worker.submit(Generation(Request("Why?", ns, 8, before=(("user", "x" * 1000), ("assistant", "x" * 1000)))))
    with pytest.raises(ExplorerError, match="has 2,004 characters"):
        worker.submit(Strip(StripRequest("Why?", {0.1: ns}, 8, before=(("system", "x" * 2000),))))
    turns = (("user", "x" * 1000), ("assistant", "x" * 1000))
    with pytest.raises(ExplorerError, match="has 2,004 characters"):
        worker.submit(Generation(Request("Why?", ns, 8, own={"patched": turns})))
    with pytest.raises(ExplorerError, match="has 2,004 characters"):
        worker.submit(Tracing(TraceRequest("Why?", Patch(ns), (1, 2), before=turns)))
    with pytest.raises(ExplorerError, match="are 33 answers; this public server writes 32 at once"):
        worker.submit(Generation(Request("Why?", ns, 8, sampling=Sampling(0.7), samples=11)))
    assert worker.length == 0


@pytest.mark.parametrize("kind", ["generation", "strip", "reading"])
def test_requests_are_limited(server, monkeypatch, kind):
    pair = tiny.shared_pair()
    worker = Worker(SharedPair("tiny", lambda _tell: pair), score=no_score)
    ns = request().neurons

    def job(prompt: str, tokens: int):
        if kind == "generation":
            return Generation(Request(prompt, ns, tokens))
        if kind == "strip":
            return Strip(StripRequest(prompt, {0.1: ns}, tokens))
        return NeuronReading(NeuronRequest(prompt, 0, 1, tokens))

    with pytest.raises(ExplorerError, match="at most 64 tokens, not 65"):
        worker.submit(job("Why?", 65))
    with pytest.raises(ExplorerError, match="has 2,001 characters; this public server takes 2,000"):
        worker.submit(job("x" * 2001, 8))
    monkeypatch.setenv("EXPLORER_PUBLIC_TOKENS", "8")
    with pytest.raises(ExplorerError, match="at most 8 tokens, not 9"):
        worker.submit(job("Why?", 9))
    assert worker.length == 0
    fine = job("Why?", 8)
    worker.submit(fine)
    finish(fine)
    assert fine.problem == ""


def test_the_queue_of_a_public_server_is_limited(server, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(PROJECT / "cache"))
    monkeypatch.setenv("EXPLORER_PUBLIC_QUEUE_OF_VISITOR", "1")
    service = registry().service("demo")
    assert (service.worker._line.limits.of_visitor, service.worker._line.limits.in_all) == (1, 60)


@pytest.mark.parametrize("said", ["0", "-1", "many", "1.5", "9" * 12])
def test_a_wrong_limit_is_one_sentence(monkeypatch, said):
    monkeypatch.setenv("EXPLORER_PUBLIC_TOKENS", said)
    with pytest.raises(ExplorerError, match="EXPLORER_PUBLIC_TOKENS must be a whole number from 1"):
        public.public_limits()
    with pytest.raises(ExplorerError, match="EXPLORER_PUBLIC_TOKENS"):
        app_command.run_app(AppSettings(public=True))


# -- the command ---------------------------------------------------------------------------------------


def options(**settings) -> dict[str, list[str]]:
    said = list(app_command._options(AppSettings(**settings)))
    found: dict[str, list[str]] = {}
    for name, value in zip(said[::2], said[1::2], strict=True):
        found.setdefault(name, []).append(value)
    return found


def test_the_command_hands_its_settings_on():
    assert options() == {}
    found = options(port=9, address="0.0.0.0", base_path="/tools/neurons/", host="n.example.org", public=True)
    assert found["--server.port"] == ["9"]
    assert found["--server.address"] == ["0.0.0.0"]
    assert found["--server.baseUrlPath"] == ["tools/neurons"]
    assert found["--browser.serverAddress"] == ["n.example.org"]
    assert found["--server.allowedHosts"] == ["n.example.org", "localhost", "127.0.0.1"]
    assert found["--server.headless"] == ["true"]
    assert found["--client.showErrorDetails"] == ["none"]
    assert found["--server.maxUploadSize"] == ["1"]


@pytest.mark.parametrize("path", ["a b", "a/../b", "a//b", "a?b", "http://x"])
def test_a_base_path_that_is_none_is_one_sentence(path):
    with pytest.raises(ExplorerError, match="must be words of letters"):
        options(base_path=path)


def test_the_server_ends_with_its_command(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "explorer", "app", "--headless", "--port", str(port)]
    with serving(command, f"http://127.0.0.1:{port}/_stcore/health", tmp_path / "log") as process:
        (server,) = psutil.Process(process.pid).children()
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
        assert not server.is_running()


def test_places_are_those_of_where_the_command_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPLORER_RUNS", "mine")
    own = app_command._environment(AppSettings(public=True, metrics_port=7))
    assert own["EXPLORER_RUNS"] == str(tmp_path / "mine")
    assert (own[public.SETTING], own[watching.METRICS], own[events.LOG]) == ("1", "7", "json")
    assert public.SETTING not in app_command._environment(AppSettings())


# -- for operators -------------------------------------------------------------------------------------


def test_an_event_is_a_line_of_json_without_prompt_and_answer(monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="explorer")
    worker = Worker(SharedPair("tiny", lambda _tell: tiny.shared_pair()), Slow(pause=0.001, steps=3), no_score)
    for setting in ("", "1"):
        monkeypatch.setenv(events.LOG_PROMPTS, setting)
        generation = Generation(request("my secret"))
        worker.submit(generation)
        finish(generation)
    while worker.length or len([r for r in caplog.records if r.name == "explorer.events"]) < 2:
        pass
    lines = [json.loads(events.JsonLines().format(r)) for r in caplog.records if r.name == "explorer.events"]
    assert [line["event"] for line in lines] == ["job", "job"]
    assert "my secret" not in json.dumps(lines[0])
    assert "prompt" not in lines[0]
    assert lines[1]["prompt"] == "my secret"
    assert lines[0]["outcome"] == "done"
    assert lines[0]["tokens"] == 9
    assert lines[0]["pair"] == "tiny"
    assert worker.outcomes["generation", "done"] == 2
    assert worker.tokens == 18


def test_metrics_are_in_prometheus_form(monkeypatch):
    PAIRS.service("demo")
    text = metrics_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r'safety_neurons_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+]+', line), line
    assert 'safety_neurons_jobs_waiting{pair="demo"} 0' in lines
    assert any(line.startswith("safety_neurons_memory_bytes ") for line in lines)


def test_metrics_have_a_port_of_their_own():
    server = watching._serve(0)
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        assert b"safety_neurons_memory_bytes" in urllib.request.urlopen(f"{address}/metrics", timeout=5).read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/", timeout=5)
        assert watching._serve(server.server_address[1]) is None  # taken: the app is served without
    finally:
        server.shutdown()
        server.server_close()
