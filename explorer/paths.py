"""Where things lie: what ships with the project, and what is made on this machine."""

import os
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.schema import shown

PACKAGE = Path(__file__).resolve().parent
PROJECT = PACKAGE.parent

SUITES = PACKAGE / "data" / "suites"
PAIRS = PACKAGE / "models" / "pairs"
SHIPPED = PACKAGE / "models" / "shipped"
HEADS = PACKAGE / "scoring" / "heads"


def runs_folder() -> Path:
    """The folder that holds the runs: `cache/` of the project, or `$EXPLORER_RUNS`."""
    return Path(os.environ.get("EXPLORER_RUNS") or PROJECT / "cache")


def pairs_folder() -> Path:
    """The folder of a person's own pair files: `pairs/` of the project, or `$EXPLORER_PAIRS`."""
    return Path(os.environ.get("EXPLORER_PAIRS") or PROJECT / "pairs")


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
