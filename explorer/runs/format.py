"""What a run on disk looks like: names, schema version, and the rules for both.

cache/<run>/manifest.json            what was computed from what, and a checksum for every file
cache/<run>/tensors/<name>.safetensors
cache/<run>/tables/<name>.parquet
"""

import hashlib
import re
from pathlib import Path

from explorer.errors import ExplorerError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
TENSORS = "tensors"
TABLES = "tables"

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


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
