"""Read a TOML file that a person wrote."""

import tomllib
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError, first_line


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: the file.
        what: its kind, for the message: "build file".

    Raises:
        ExplorerError: it is missing, cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as problem:
        raise ExplorerError(f"There is no {what} {path}.") from problem
    except OSError as problem:
        raise ExplorerError(f"The {what} {path} cannot be read: {problem.strerror}.") from problem
    except ValueError as problem:  # no TOML, no UTF-8, or a number of thousands of digits
        raise ExplorerError(f"{path} is not a readable TOML file: {first_line(problem)}") from problem
    except RecursionError as problem:
        raise ExplorerError(f"{path} is not a readable TOML file: its values are nested too deeply.") from problem
