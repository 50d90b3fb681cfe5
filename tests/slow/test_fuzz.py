"""2,000 messages and query strings that no page sends: a public server stays up, and others get their answers."""

import hashlib
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from explorer.paths import PROJECT
from explorer.ui.pages import PAGES
from tests.serving import failures
from tests.slow.serving import Served, Visitor, public_server, texts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MESSAGES, QUERIES = 1_600, 400
SEED = 22
TEXTS = ["", "0", "-1", "nan", "demo", "../../etc/passwd", "%00", "\x00", "'; --", "<script>", "🦀" * 50, "9" * 400]
PARAMETERS = ("run", "method", "fraction", "prompt", "neuron", "layer", "set", "shared", "page", "text", "q")
VALUES = ("trigger_value", "bool_value", "double_value", "int_value", "string_value", "string_trigger_value")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Served]:
    with public_server(tmp_path_factory.mktemp("server")) as served:
        yield served


def test_what_no_page_sends_harms_nobody(server):
    rng, began = random.Random(SEED), time.monotonic()
    before, memory = files(PROJECT), 0
    with Visitor(server.port) as other:
        expected = titles(other)
        widgets = ids_of(server)
        for part in range(8):
            messages(server, rng, MESSAGES // 8, widgets)
            queries(server, rng, QUERIES // 8)
            assert server.process.poll() is None, server.said[-3000:]
            assert titles(other) == expected  # the session beside it goes on
            memory = memory or server.memory
            print(f"part {part}: {time.monotonic() - began:.0f} s, {server.memory / 1e6:.0f} MB")
    with Visitor(server.port) as fresh:
        assert titles(fresh) == expected
    assert failures(server.said) == []
    assert server.memory < memory * 1.5 + 200e6
    assert files(PROJECT) == before
    stray = {path.relative_to(server.folder).parts[0] for path in server.folder.rglob("*") if path.is_file()}
    assert stray <= {"server.log", "home", "tmp"}


def titles(visitor: Visitor) -> str:
    """What the first page is called."""
    shown = [m for m in visitor.run() if m.WhichOneof("type") == "delta" and m.delta.new_element.HasField("heading")]
    return "\n".join(m.delta.new_element.heading.body for m in shown)


def ids_of(server: Served) -> list[str]:
    """Ids of real widgets, of all pages."""
    found: set[str] = set()
    with Visitor(server.port) as visitor:
        for page in PAGES:
            for line in texts(visitor.run(page.url_path)).splitlines():
                name, _, value = line.strip().partition(": ")
                if name == "id" and value.strip('"').startswith("$$"):
                    found.add(value.strip('"'))
    assert len(found) > 10
    return sorted(found)


def files(folder: Path) -> dict[str, str]:
    """The files of a checkout, but those that Python and tools keep for themselves."""
    skipped = {".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".import_linter_cache"}
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and not skipped & set(path.relative_to(folder).parts):
            stat = path.stat()
            found[str(path)] = f"{stat.st_size} {stat.st_mtime_ns}"
    return found


def messages(server: Served, rng: random.Random, count: int, widgets: list[str]) -> None:
    """Send so many messages; a session that the server ends is begun anew."""
    exceptions = pytest.importorskip("websockets.exceptions")
    visitor = Visitor(server.port)
    reader = _reading(visitor)
    for _ in range(count):
        try:
            visitor.send(message(rng, widgets))
        except exceptions.ConnectionClosed:
            visitor = Visitor(server.port)
            reader = _reading(visitor)
        time.sleep(0.005)
    visitor.socket.close()
    reader.join(10)


def _reading(visitor: Visitor) -> threading.Thread:
    """Take what the server sends, so that it never waits for its reader."""

    def read() -> None:
        try:
            for _ in visitor.socket:
                pass
        except Exception:  # noqa: BLE001  the server has ended the session
            return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def message(rng: random.Random, widgets: list[str]) -> bytes:
    """A message: a real one with odd content, the same with bytes changed, or random bytes."""
    made = BackMsg()
    kind = rng.randrange(10)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    if kind == 1:
        setattr(made, rng.choice(["clear_cache", "set_run_on_save", "stop_script", "load_git_info"]), True)
    elif kind == 2:
        setattr(made, rng.choice(["app_heartbeat", "debug_disconnect_websocket", "debug_shutdown_runtime"]), True)
    elif kind == 3:
        request = made.backend_operation_request
        request.request_id, request.session_id = text(rng), text(rng)
        what = rng.choice(["deferred_file", "install_skills", "dismiss_skills_nudge", "dataframe_chunk"])
        getattr(request, what).SetInParent()
        if what == "deferred_file":
            request.deferred_file.file_id = text(rng)
    elif kind == 4:
        made.file_urls_request.request_id = text(rng)
        made.file_urls_request.file_names.append(text(rng))
    else:
        state = made.rerun_script
        state.page_name = rng.choice([page.url_path for page in PAGES]) if rng.random() < 0.8 else text(rng)
        state.query_string = query(rng)
        for _ in range(rng.randrange(4)):
            state.widget_states.widgets.append(widget(rng, widgets))
        if rng.random() < 0.2:
            state.page_script_hash = text(rng)
        if rng.random() < 0.1:
            state.fragment_id = text(rng)
    raw = bytearray(made.SerializeToString())
    if raw and rng.random() < 0.2:
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


def widget(rng: random.Random, widgets: list[str]) -> WidgetState:
    """What a widget is said to hold: often of another type than it has."""
    state = WidgetState(id=rng.choice(widgets) if rng.random() < 0.9 else text(rng))
    field = rng.choice(VALUES)
    if field in ("trigger_value", "bool_value"):
        setattr(state, field, rng.random() < 0.5)
    elif field == "double_value":
        state.double_value = rng.choice([0.0, -1.0, 1e308, float("nan"), float("inf"), rng.random()])
    elif field == "int_value":
        state.int_value = rng.choice([0, -1, 2**62, rng.randrange(100)])
    elif field == "string_value":
        state.string_value = text(rng)
    else:
        state.string_trigger_value.data = text(rng)
    return state


def text(rng: random.Random) -> str:
    return rng.choice(TEXTS) if rng.random() < 0.7 else hashlib.sha256(rng.randbytes(4)).hexdigest()


def query(rng: random.Random) -> str:
    if rng.random() < 0.2:
        return text(rng)
    return urllib.parse.urlencode([(rng.choice(PARAMETERS), text(rng)) for _ in range(rng.randrange(5))])


def queries(server: Served, rng: random.Random, count: int) -> None:
    """Ask for so many addresses, and let every tenth page run with its query."""
    with Visitor(server.port) as visitor:
        for number in range(count):
            page, said = rng.choice(PAGES).url_path, query(rng)
            if number % 10 == 0:
                visitor.run(page, said)
                continue
            path = page if rng.random() < 0.5 else urllib.parse.quote(text(rng))
            address = f"http://127.0.0.1:{server.port}/{path}?{urllib.parse.quote(said, safe='=&%')}"
            try:
                urllib.request.urlopen(address, timeout=20).read()
            except urllib.error.HTTPError as refused:
                if refused.code >= 500:
                    raise
