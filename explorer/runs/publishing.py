"""Put a finished folder in a run's place, in one step: at every moment there is a whole run, the old or the new one.

put_in_place(half, target)          # `half` is gone afterwards, and so is what was there
mend(folder)                        # where the file system knows no such step and a kill came between the two it takes
"""

import ctypes
import os
import shutil
import sys
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux
_RENAME_SWAP = 2  # of macOS


def put_in_place(half: Path, target: Path) -> None:
    """Give `half` the name `target`; a folder or link that has it is replaced and removed.

    Raises:
        OSError: the file system refuses; `target` is then as it was.
    """
    old = old_of(target)
    _remove(old)
    if not (target.is_symlink() or target.exists()):
        os.replace(half, target)
    elif _exchange(half, target):
        _remove(half)  # it holds what was there
    else:
        _replace_in_two_steps(half, target, old)


def _replace_in_two_steps(half: Path, target: Path, old: Path) -> None:
    for last in (False, False, True):
        target.rename(old)
        try:
            os.replace(half, target)
            break
        except OSError:  # a reader has taken the moment between for the end of it, and mended it
            if last:
                mend(target.parent)
                raise
    _remove(old)


def mend(folder: Path) -> None:
    """Give runs of a folder that were put aside for new ones their names back, where the new one never came."""
    for old in folder.glob(".*-old"):
        target = folder / old.name.removeprefix(".").removesuffix("-old")
        if not (target.is_symlink() or target.exists()):
            try:
                os.rename(old, target)
            except OSError:  # another process has just done it, or the folder may not be written
                continue


def old_of(target: Path) -> Path:
    """Where a run waits while a new one takes its place in two steps."""
    return target.with_name(f".{target.name}-old")


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system or the file system cannot."""
    if sys.platform not in ("linux", "darwin"):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    a, b = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        return bool(library.renameat2(_AT_FDCWD, a, _AT_FDCWD, b, _RENAME_EXCHANGE) == 0)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        return bool(library.renamex_np(a, b, _RENAME_SWAP) == 0)
    return False


def _remove(folder: Path) -> None:
    """Remove a folder and all in it; of a link, the link alone."""
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
