"""Read a TOML file that a person wrote."""

import tomllib
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: the file.
        what: its kind, for the message: "build file".

    Raises:
        ExplorerError: it is missing, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ExplorerError(f"There is no {what} {path}.") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ExplorerError(f"{path} is not a readable TOML file: {problem}") from problem
