"""The app's server as a process: started, waited for, ended, and its tracebacks.

with serving(command, f"http://127.0.0.1:{port}/_stcore/health", log) as process: ...
"""

import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from explorer.paths import PROJECT

STARTS_WITHIN = 90.0
ENDS_WITHIN = 20.0


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(
    command: list[str],
    health: str | urllib.request.Request,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path = PROJECT,
) -> Iterator[subprocess.Popen]:
    """A server, from its first answer to the end of the block; its children end with it.

    Args:
        health: the address that answers “ok” once it runs.
        log: the file that gets what it prints.
        environment: all of its variables; None for the own ones.
        folder: that it runs in.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        _wait(health, process, log)
        yield process
    finally:
        _end(process)


def failures(log: str) -> list[str]:
    """The tracebacks in a server's log that pass through this project's files.

    Streamlit logs each broken message, and the web server a browser that goes away in the middle of one.
    """
    blocks = re.split(r"(?m)^(?=.*Traceback \(most recent call last\))", log)[1:]
    ours = re.compile(f'File "{re.escape(str(PROJECT))}/(explorer|pages|streamlit_app|app_server)')
    return [block for block in blocks if ours.search(block)]


def _wait(health: str | urllib.request.Request, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end and process.poll() is None:
        try:
            if urllib.request.urlopen(health, timeout=5).read() == b"ok":
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text(encoding='utf-8', errors='replace')[-4000:]}")


def _end(process: subprocess.Popen) -> None:
    all_of_it = [process, *psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []
    for one in all_of_it:
        one.terminate()
    try:
        process.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
