"""Where things lie: what ships with the project, and what is made on this machine.

In a clone the app's entry script, its pages, build files and the shipped run lie beside the package; a wheel carries
them inside it, in `explorer/share` (`setup.py` puts them there). What people make is written beside a clone, and into
their own data folder where the tool is installed or its folder may not be written.
"""

import os
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.schema import shown

PACKAGE = Path(__file__).resolve().parent
_SHARE = PACKAGE / "share"
INSTALLED = _SHARE.is_dir()
"""Whether this is an installed package, not a clone."""

PROJECT = _SHARE if INSTALLED else PACKAGE.parent
"""The folder of the app's two entry scripts, `pages/`, `configs/`, `.streamlit/` and `cache/demo`; where the tool is
installed, nothing is written to it."""

SUITES = PACKAGE / "data" / "suites"
PAIRS = PACKAGE / "models" / "pairs"
SHIPPED = PACKAGE / "models" / "shipped"
HEADS = PACKAGE / "scoring" / "heads"


def runs_folder() -> Path:
    """The folder that runs are written to: `$EXPLORER_RUNS`, `cache/` of a clone, or `runs/` of the user's data."""
    chosen = os.environ.get("EXPLORER_RUNS")
    if chosen:
        return Path(chosen)
    return PROJECT / "cache" if _may_write() else user_data() / "runs"


def run_folders() -> list[Path]:
    """The folders that runs are read from: the one that they are written to, then the shipped one, if it is another."""
    if os.environ.get("EXPLORER_RUNS"):
        return [runs_folder()]
    return list(dict.fromkeys([runs_folder(), PROJECT / "cache"]))


def pairs_folder() -> Path:
    """The folder of a person's own pair files: `$EXPLORER_PAIRS`, `pairs/` of a clone, or of the user's data."""
    chosen = os.environ.get("EXPLORER_PAIRS")
    if chosen:
        return Path(chosen)
    return (PROJECT if _may_write() else user_data()) / "pairs"


def shipped_file(place: Path) -> Path:
    """A build or training file as people name it: where it is, or that of the project (`configs/build/small.toml`)."""
    in_project = PROJECT / place
    return in_project if not place.is_absolute() and not place.exists() and in_project.is_file() else place


def data_folder() -> Path:
    """The folder of the datasets that do not ship with the project: `$EXPLORER_DATA`.

    Raises:
        ExplorerError: the variable is not set, or names no folder.
    """
    chosen = os.environ.get("EXPLORER_DATA")
    if not chosen or not Path(chosen).is_dir():
        raise ExplorerError("Set EXPLORER_DATA to the folder of the datasets (see README).")
    return Path(chosen)


def user_cache() -> Path:
    """The user's own cache folder (converted models): `$EXPLORER_CACHE`, or under `$XDG_CACHE_HOME`."""
    chosen = os.environ.get("EXPLORER_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "safety-neuron-explorer"


def user_data() -> Path:
    """The user's own runs and pair files, under `$XDG_DATA_HOME`: they take hours, and caches get emptied."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "safety-neurons"


def _may_write() -> bool:
    """Whether what people make may be written beside the package."""
    return not INSTALLED and os.access(PROJECT, os.W_OK)


def fill_path(place: str, file: Path) -> Path:
    """A file or folder that a build or training file names: `$EXPLORER_DATA` filled in, else relative to that file.

    Raises:
        ExplorerError: a variable in it is not set, or it cannot be a place.
    """
    filled = os.path.expandvars(place)
    if "$" in filled:
        raise ExplorerError(f"{file} reads {place}; set EXPLORER_DATA to the folder of these datasets (see README).")
    return beside(filled, file)


def beside(place: str, file: Path) -> Path:
    """A place that is relative to a file, as a full path.

    Raises:
        ExplorerError: it cannot be a place.
    """
    try:
        return (file.parent / place).resolve()
    except (OSError, RuntimeError, ValueError) as problem:  # links that go round in a circle, a name of odd characters
        raise ExplorerError(f"{file} names {shown(place)}, where no file can be; name another place.") from problem


def short_path(path: str | Path) -> str:
    """Where a file lies for people to read: as seen from the project or from the own home; other text as it is."""
    for folder, short in ((PROJECT, ""), (Path.home(), "~/")):
        if str(path).startswith(f"{folder}/"):
            return short + str(path).removeprefix(f"{folder}/")
    return str(path)
