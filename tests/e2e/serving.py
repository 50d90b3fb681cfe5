"""The app as `python -m explorer app` serves it, for browsers.

with served() as address: ...
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.serving import free_port, serving


@contextmanager
def served(log: Path | None = None) -> Iterator[str]:
    """The address of the app, on a free port of this machine.

    Args:
        log: the file that gets what it prints; None for one that is thrown away.
    """
    with tempfile.TemporaryDirectory() as folder, served_by(log or Path(folder) / "server.log") as (address, _process):
        yield address


@contextmanager
def served_by(log: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of the app and its process."""
    port = free_port()
    options = {"port": port, "headless": "true", "fileWatcherType": "none"}
    command = [sys.executable, "-m", "streamlit", "run", "app_server.py"]
    command += [word for name, value in options.items() for word in (f"--server.{name}", str(value))]
    address = f"http://127.0.0.1:{port}"
    with serving(command, f"{address}/_stcore/health", log) as process:
        yield address, process
