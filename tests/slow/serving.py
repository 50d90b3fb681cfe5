"""A public server as a process, and visitors who speak Streamlit's own messages with it, without a browser.

with public_server(folder, port) as server, Visitor(server.port) as visitor:
    messages = visitor.run(page="patch_lab")
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from explorer.paths import PROJECT, user_cache
from tests.serving import free_port, serving


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
    base = options[options.index("--base-path") + 1] + "/" if "--base-path" in options else ""
    with serving(command, f"http://127.0.0.1:{port}/{base}_stcore/health", log, own) as process:
        yield Served(port, log, folder, process)


class Visitor:
    """A session of the app, as a browser holds it.

    Args:
        host: the name in the address that the browser was given.
        origin: the name of the site whose page opens the session; "" for the same one.

    Attributes:
        socket: the websocket, for whoever sends other messages than these.
    """

    def __init__(
        self, port: int, base: str = "", host: str = "127.0.0.1", seconds: float = 60.0, origin: str = ""
    ) -> None:
        sync_client = pytest.importorskip("websockets.sync.client")
        path = f"{base}/_stcore/stream" if base else "_stcore/stream"
        self._seconds = seconds
        self.socket = sync_client.connect(
            f"ws://{host}:{port}/{path}",
            sock=socket.create_connection(("127.0.0.1", port), timeout=seconds),
            subprotocols=["streamlit"],
            origin=f"http://{origin or host}:{port}",
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

    def run(self, page: str = "", query: str = "", widgets: Sequence[WidgetState] = ()) -> list[ForwardMsg]:
        """Let a page's script run to its end, some of its widgets set or pressed; all that it sent."""
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        message.rerun_script.widget_states.widgets.extend(widgets)
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
