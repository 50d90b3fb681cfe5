"""Read a TOML file that a person wrote."""

import tomllib
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError, first_line
from explorer.text_file import open_text

MOST = 2**22
"""Characters of a file; the demo's build file has ten thousand."""


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file, in any encoding of `explorer.text_file`.

    Args:
        path: the file.
        what: its kind, for the message: "build file".

    Raises:
        ExplorerError: it is missing, cannot be read, or is not TOML.
    """
    with open_text(path, what) as file:
        text = file.read(MOST + 1)
    if len(text) > MOST:
        raise ExplorerError(f"{path} has more than {MOST:,} characters, so it is no {what}.")
    try:
        return tomllib.loads(text)
    except RecursionError as problem:
        raise ExplorerError(f"{path} is not a readable TOML file: its values are nested too deeply.") from problem
    except ValueError as problem:  # TOMLDecodeError, or a number of thousands of digits
        raise ExplorerError(f"{path} is not a readable TOML file: {first_line(problem, 200)}") from problem
