"""The app's server as a process: `safety-neurons app`.

run_app(AppSettings(port=8501, public=True))        # returns when the server has ended
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.paths import PROJECT
from explorer.public import SETTING, public_limits
from explorer.serve.events import LOG
from explorer.serve.watching import METRICS

_PLACES = ("EXPLORER_RUNS", "EXPLORER_PAIRS", "EXPLORER_DATA", "EXPLORER_CACHE")
"""Variables that name folders, relative to where the command was typed; the server runs in another folder."""

_UPLOAD_MB, _MESSAGE_MB = 1, 20
"""What a public server takes: of an uploaded file, and what it sends in one message."""


@dataclass(frozen=True)
class AppSettings:
    """How the app is served.

    Attributes:
        port: 0 for the first free one from 8501.
        headless: whether no browser is opened.
        address: that the server listens at; "" for this machine alone.
        base_path: the part of the address before the app's pages, behind a proxy: "tools/neurons"; "" for none.
        host: the name by which browsers know the server, behind a proxy; "" where that is its own.
        public: see `explorer.public`.
        metrics_port: of this machine, where operators read metrics; 0 for none.
        json_logs: whether events are logged as a line of JSON each.
    """

    port: int = 0
    headless: bool = False
    address: str = ""
    base_path: str = ""
    host: str = ""
    public: bool = False
    metrics_port: int = 0
    json_logs: bool = False


def run_app(settings: AppSettings) -> int:
    """Run the server until it ends; its exit code.

    Raises:
        ExplorerError: a setting is not usable.
    """
    if settings.public:
        public_limits()  # a wrong setting is told now, not to the first visitor
    command = [sys.executable, "-m", "streamlit", "run", str(PROJECT / "app_server.py"), *_options(settings)]
    # Streamlit reads .streamlit/config.toml from the folder that it runs in.
    with subprocess.Popen(command, cwd=PROJECT, env=_environment(settings)) as server:
        # Told to end, the server ends too; as a container's first process this one would not even end itself.
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        try:
            code = server.wait()
        except BaseException:
            server.kill()
            raise
    return code if code >= 0 else 128 - code  # of a signal, as shells count


def _options(settings: AppSettings) -> Iterator[str]:
    """Options of Streamlit's own command."""
    path = settings.base_path.strip("/")
    if any(not part.replace("-", "").replace("_", "").isalnum() for part in path.split("/") if path):
        raise ExplorerError(f"The base path “{path[:80]}” must be words of letters, digits, - and _ between slashes.")
    chosen = {
        "server.port": settings.port,
        "server.headless": "true" if settings.headless or settings.public else "",
        "server.address": settings.address,
        "server.baseUrlPath": path,
        "browser.serverAddress": settings.host,
    }
    if settings.public:
        chosen |= {
            "client.showErrorDetails": "none",
            "server.maxUploadSize": _UPLOAD_MB,
            "server.maxMessageSize": _MESSAGE_MB,
        }
    for name, value in chosen.items():
        if value:
            yield from (f"--{name}", str(value))
    for name in (settings.host, "localhost", "127.0.0.1") if settings.host else ():
        yield from ("--server.allowedHosts", name)  # a page elsewhere whose name was turned to this server gets nothing


def _environment(settings: AppSettings) -> dict[str, str]:
    """The environment of the server: the own one, its places in full, and what this command sets."""
    own = dict(os.environ)
    places = {name: str(Path(own[name]).resolve()) for name in _PLACES if own.get(name)}
    public = {SETTING: "1"} if settings.public else {}
    metrics = {METRICS: str(settings.metrics_port)} if settings.metrics_port else {}
    logs = {LOG: "json"} if settings.json_logs or (settings.public and LOG not in own) else {}
    return own | places | public | metrics | logs
