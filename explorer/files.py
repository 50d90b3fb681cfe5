"""Files that are written whole or not at all, names that are safe as file names, and what the file system refuses."""

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError

_ADVICE = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EFBIG: "raise the limit of a file's size",
    errno.EROFS: "choose a folder that may be written",
    errno.EACCES: "choose a folder that may be written",
    errno.EPERM: "choose a folder that may be written",
    errno.ENOTDIR: "choose another folder",
    errno.EEXIST: "choose another folder",
    errno.EISDIR: "choose another file",
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""What to do about it; elsewhere only the reason is told."""

_TOLD = (
    "No space left",
    "Read-only file",
    "Permission denied",
    "PytorchStreamWriter",
    "File too large",
    "iostream error",
    "quota",
)
"""How libraries that raise errors of their own tell that a file could not be written."""


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def check_name(name: str, what: str = "run") -> str:
    """A name that is safe as a file name: letters, digits, - and _; it cannot leave its folder.

    Raises:
        ExplorerError: it is not such a name.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        shown = str(name)[:40]
        raise ExplorerError(f"“{shown}” cannot be the name of a {what}; use letters, digits, - and _ (at most 64).")
    return name


def is_file(path: Path) -> bool:
    """Whether there is a plain file; a name that no file can have, or a folder that may not be entered, holds none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def reason_of(problem: OSError) -> str:
    """What the file system says, without number and name: "No space left on device"."""
    return problem.strerror or str(problem) or type(problem).__name__


def file_problem(problem: BaseException) -> str | None:
    """One sentence for an error of the file system, whoever raised it; None where it is another."""
    if isinstance(problem, OSError) and problem.errno is not None:
        name = problem.filename2 or problem.filename
        place = f"{os.fsdecode(name)}: " if isinstance(name, str | bytes) else ""
        return f"{place}{reason_of(problem)}{_advice(problem)}."
    said = str(problem).strip().splitlines()
    if said and any(words in said[0] for words in _TOLD):
        return f"A file could not be written: {said[0][:200].rstrip('.')}; make room, or choose another folder."
    return None


@contextmanager
def told_by_file_system() -> Iterator[None]:
    """Turn any error of the file system into one sentence, for work that libraries write.

    Raises:
        ExplorerError: the file system refuses.
    """
    try:
        yield
    except ExplorerError:
        raise
    except Exception as problem:
        said = file_problem(problem)
        if said is None:
            raise
        raise ExplorerError(said) from problem


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn what is raised while a file or folder is written into one sentence that names it.

    Raises:
        ExplorerError: the file system refuses.
    """
    try:
        yield
    except OSError as problem:
        raise ExplorerError(f"{place} cannot be written: {reason_of(problem)}{_advice(problem)}.") from problem
    except ExplorerError:
        raise
    except Exception as problem:  # safetensors and torch raise kinds of their own
        if file_problem(problem) is None:
            raise
        said = str(problem).strip().splitlines()[0][:200].rstrip(".")
        raise ExplorerError(
            f"{place} cannot be written: {said}; make room there or choose another folder."
        ) from problem


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place when the block is through; else nothing is left of it.

    The folder is made where it is missing.

    Raises:
        ExplorerError: it cannot be written.
    """
    half = path.with_name(f"{path.name}.half")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield half
            os.replace(half, path)
        except BaseException:
            with suppress(OSError):
                half.unlink(missing_ok=True)
            raise


def make_folder(path: Path) -> Path:
    """The folder, made where it is missing.

    Raises:
        ExplorerError: it cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def read_json(path: Path) -> Any:
    """The content of a JSON file; None where it is missing or unreadable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all.

    Raises:
        ExplorerError: it cannot be written.
    """
    with whole(path) as half:
        half.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _advice(problem: OSError) -> str:
    advice = _ADVICE.get(problem.errno or 0)
    return f"; {advice}" if advice else ""
