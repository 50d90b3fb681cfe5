"""A public server as a process, and visitors who speak Streamlit's own messages with it, without a browser.

with public_server(folder, port) as server, Visitor(server.port) as visitor:
    messages = visitor.run(page="patch_lab")
"""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from explorer.paths import PROJECT, user_cache

STARTS_WITHIN = 90.0


@dataclass
class Served:
    """A server that runs.

    Attributes:
        port: of 127.0.0.1.
        log: what it prints.
        folder: where it may write.
        process: its command; the server is its child.
    """

    port: int
    log: Path
    folder: Path
    process: subprocess.Popen

    @property
    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def memory(self) -> int:
        """Resident bytes of the server."""
        own = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in [own, *own.children(recursive=True)])


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def public_server(folder: Path, *options: str, **environment: str) -> Iterator[Served]:
    """`safety-neurons app --public` of the demo run on a free port, all that it writes below a folder."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    port, log = free_port(), folder / "server.log"
    command = [sys.executable, "-m", "explorer", "app", "--public", "--port", str(port), *options]
    own = {
        **os.environ,
        "EXPLORER_RUNS": str(PROJECT / "cache"),
        "EXPLORER_CACHE": str(user_cache()),  # the embedded model is converted once
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=PROJECT, env=own, stdout=out, stderr=subprocess.STDOUT)
    served = Served(port, log, folder, process)
    try:
        _wait_for_health(served, *options)
        yield served
    finally:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.terminate()
        process.wait(20)


def _wait_for_health(served: Served, *options: str) -> None:
    base = options[options.index("--base-path") + 1] + "/" if "--base-path" in options else ""
    health = f"http://127.0.0.1:{served.port}/{base}_stcore/health"
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end and served.process.poll() is None:
        try:
            if urllib.request.urlopen(health, timeout=5).read() == b"ok":
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"the server did not start: {served.said[-3000:]}")


def failures(log: str) -> list[str]:
    """The tracebacks in a server's log that pass through this project's files; Streamlit logs each broken message."""
    blocks = re.split(r"(?m)^(?=.*Traceback \(most recent call last\))", log)[1:]
    ours = re.compile(f'File "{re.escape(str(PROJECT))}/(explorer|pages|streamlit_app)')
    return [block for block in blocks if ours.search(block)]


class Visitor:
    """A session of the app, as a browser holds it.

    Attributes:
        socket: the websocket, for whoever sends other messages than these.
    """

    def __init__(self, port: int, base: str = "", host: str = "127.0.0.1", seconds: float = 60.0) -> None:
        sync_client = pytest.importorskip("websockets.sync.client")
        path = f"{base}/_stcore/stream" if base else "_stcore/stream"
        self._seconds = seconds
        self.socket = sync_client.connect(
            f"ws://{host}:{port}/{path}",
            sock=socket.create_connection(("127.0.0.1", port), timeout=seconds),
            subprotocols=["streamlit"],
            origin=f"http://{host}:{port}",
            max_size=None,
            open_timeout=seconds,
        )

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *_how: object) -> None:
        self.socket.close()

    def send(self, message: BackMsg | bytes) -> None:
        """Send a message, or what is none."""
        self.socket.send(message if isinstance(message, bytes) else message.SerializeToString())

    def run(self, page: str = "", query: str = "") -> list[ForwardMsg]:
        """Let a page's script run to its end; all that it sent."""
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        self.send(message)
        return self.until_finished()

    def until_finished(self) -> list[ForwardMsg]:
        """What comes until a script has ended.

        Raises:
            TimeoutError: nothing came for too long.
        """
        found = []
        while True:
            message = ForwardMsg()
            message.ParseFromString(self.socket.recv(self._seconds))
            found.append(message)
            if message.WhichOneof("type") == "script_finished":
                return found


def texts(messages: list[ForwardMsg]) -> str:
    """All words that a page has shown."""
    return "\n".join(str(m.delta.new_element) for m in messages if m.WhichOneof("type") == "delta")
