"""The app's server as a process: `safety-neurons app`.

run_app(port=8501, headless=True)       # returns when the server has ended
"""

import os
import subprocess
import sys
from pathlib import Path

from explorer.paths import PROJECT

_PLACES = ("EXPLORER_RUNS", "EXPLORER_PAIRS", "EXPLORER_DATA", "EXPLORER_CACHE")
"""Variables that name folders, relative to where the command was typed; the server runs in another folder."""


def run_app(port: int = 0, headless: bool = False) -> int:
    """Run the server until it ends; its exit code.

    Args:
        port: 0 for the first free one from 8501.
        headless: whether no browser is opened.
    """
    command = [sys.executable, "-m", "streamlit", "run", str(PROJECT / "streamlit_app.py")]
    command += ["--server.port", str(port)] if port else []
    command += ["--server.headless", "true"] if headless else []
    places = {name: str(Path(os.environ[name]).resolve()) for name in _PLACES if os.environ.get(name)}
    # Streamlit reads .streamlit/config.toml from the folder that it runs in.
    return subprocess.call(command, cwd=PROJECT, env={**os.environ, **places})
