"""Builds started from the app: each a process of its own, which goes on when the page or the app is closed.

start(file, engine="local")        # returns at once
look(file)                         # how far it is, whoever started it
cancel(file)                       # what was finished is kept
"""

import contextlib
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.files import make_folder, writing
from explorer.paths import PROJECT
from explorer.pipeline.build_config import BuildConfig
from explorer.pipeline.config import read_build_config
from explorer.pipeline.status import Status, read_status
from explorer.public import refuse_in_public

_started: dict[str, subprocess.Popen] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class View:
    """What is known of a build.

    Attributes:
        state: "none" (never built), "starting", "running", "done", "failed" or "stopped".
        status: the latest; None where there is none.
        problem: one sentence where it failed.
    """

    state: str
    status: Status | None = None
    problem: str = ""

    @property
    def active(self) -> bool:
        """Whether it computes now."""
        return self.state in ("starting", "running")


def look(file: Path) -> View:
    """How far a build is.

    Raises:
        ExplorerError: its file cannot be read.
    """
    config = read_build_config(file)
    known = read_status(_work(config))
    child = _child(config)
    if child is not None and child.poll() is None and (known is None or known.pid != child.pid):
        return View("starting")
    if child is not None and child.poll() not in (None, 0, 130) and (known is None or known.pid != child.pid):
        return View("failed", None, _last_words(config))
    if known is None:
        return View("none")
    return View(known.state, known.status, known.problem)


def check_idle(file: Path) -> None:
    """Raises:
    ExplorerError: this run is being built, or its file cannot be read.
    """
    if look(file).active:
        raise ExplorerError("This run is being built already; wait for it or stop it.")


def start(file: Path, engine: str = "local", workers: int = 0, resume: bool = True) -> None:
    """Start a build in a process of its own; its words go into a log beside its work.

    Raises:
        ExplorerError: it runs already, its file cannot be read, or this server is public.
    """
    refuse_in_public("Building a run")
    config = read_build_config(file)
    with _lock:
        check_idle(file)
        work = _work(config)
        make_folder(work)
        command = [sys.executable, "-m", "explorer", "build", str(file), "--engine", engine, "--workers", str(workers)]
        said = work.parent / f"{work.name}.log"
        with writing(said), said.open("wb") as log:
            _started[str(work)] = subprocess.Popen(
                command if resume else [*command, "--no-resume"],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def cancel(file: Path) -> None:
    """Ask a build to stop; it keeps what it has finished.

    Raises:
        ExplorerError: its file cannot be read, or this server is public.
    """
    import psutil

    refuse_in_public("Stopping a build")
    config = read_build_config(file)
    known, child = read_status(_work(config)), _child(config)
    builder = known.process() if known is not None and known.state == "running" else None
    with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
        if builder is not None:
            builder.terminate()  # psutil looks once more whether it is the same process
        elif child is not None and child.poll() is None:
            child.terminate()


def _work(config: BuildConfig) -> Path:
    from explorer.paths import runs_folder

    return runs_folder() / f".build-{config.name}"


def _child(config: BuildConfig) -> subprocess.Popen | None:
    """The process that this app has started for a run, if any."""
    return _started.get(str(_work(config)))


def _last_words(config: BuildConfig) -> str:
    """The last line that a build has written before it ended."""
    work = _work(config)
    try:
        lines = (work.parent / f"{work.name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line for line in lines if line.strip()]
    return said[-1].removeprefix("explorer: ")[:400] if said else "It ended without a word."
