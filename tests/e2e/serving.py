"""The app in a process of its own, for tools that look at it.

with served() as address: ...
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from explorer.paths import PROJECT


@contextmanager
def served(seconds: float = 90.0) -> Iterator[str]:
    """The address of the app, on a free port of this machine.

    Args:
        seconds: within which it must answer.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", str(port)]
    server = subprocess.Popen([*command, "--server.headless", "true"], cwd=PROJECT, env=os.environ)
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health", seconds)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait(url: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
