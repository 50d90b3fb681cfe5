"""Read a run's manifest, which may come from anywhere: of known shape, and naming files of its own folder alone."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError
from explorer.files import check_name, is_file
from explorer.runs.format import MANIFEST, SCHEMA_VERSION, TABLES, TENSORS

MOST = 2**26
"""Bytes of a manifest; the demo's has thirty thousand."""

MOST_NEURONS = 10**8
"""Neurons of both models' shape; the largest that are published have thirty million."""

_FILE = re.compile(rf"(?:{TENSORS}/[A-Za-z0-9][A-Za-z0-9_-]*\.safetensors|{TABLES}/[A-Za-z0-9][A-Za-z0-9_-]*\.parquet)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the run in a folder.

    Raises:
        ExplorerError: there is none, it is damaged, or it was written by another version.
    """
    file = folder / MANIFEST
    if not is_file(file):
        raise ExplorerError(f"There is no run in {folder}; build one with `python -m explorer build CONFIG.toml`.")
    if file.is_symlink():
        raise ExplorerError(f"{file} is a symbolic link, and a run reads only its own files; copy the file itself.")
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST + 1)
        manifest = json.loads(data.decode("utf-8-sig")) if len(data) <= MOST else None
        version = manifest["schema_version"] if isinstance(manifest, dict) else None
    except (OSError, ValueError, KeyError, RecursionError) as problem:
        raise ExplorerError(f"{file} is damaged; build the run again.") from problem
    if version != SCHEMA_VERSION and isinstance(version, int | str) and len(str(version)) < 40:
        said = " ".join(str(version).split())
        raise ExplorerError(
            f"Run {folder} has format {said}, this program reads format {SCHEMA_VERSION}; build the run again."
        )
    if not isinstance(manifest, dict) or version != SCHEMA_VERSION:
        raise ExplorerError(f"{file} is damaged (its format); build the run again.")
    wrong = next((part for part, is_whole in _PARTS.items() if not is_whole(manifest)), None)
    wrong = wrong or next(
        (key for key, kind in _KINDS.items() if not isinstance(manifest.get(key, kind()), kind)), None
    )
    if wrong is not None:
        raise ExplorerError(f"{file} is damaged ({wrong}); build the run again.")
    return manifest


def _pair(manifest: Mapping[str, Any]) -> bool:
    pair = manifest.get("pair")
    if not isinstance(pair, dict) or not all(_count(pair.get(key)) for key in ("n_layers", "n_neurons")):
        return False
    return bool(pair["n_layers"] * pair["n_neurons"] <= MOST_NEURONS)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_NEURONS


def _rankings(manifest: Mapping[str, Any]) -> bool:
    rankings = manifest.get("rankings")
    return isinstance(rankings, dict) and all(_name(n) and isinstance(about, dict) for n, about in rankings.items())


def _tables(manifest: Mapping[str, Any]) -> bool:
    tables = manifest.get("tables")
    return isinstance(tables, list) and all(_name(name) for name in tables)


def _files(manifest: Mapping[str, Any]) -> bool:
    """Whether every file lies in the run's own folder, and has a checksum."""
    files = manifest.get("files")
    return isinstance(files, dict) and all(
        _FILE.fullmatch(name) and isinstance(about, dict) and _SHA256.fullmatch(str(about.get("sha256")))
        for name, about in files.items()
    )


def _name(value: Any) -> bool:
    try:
        check_name(value)
    except ExplorerError:
        return False
    return True


_PARTS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "the size of its models": _pair,
    "its rankings": _rankings,
    "its tables": _tables,
    "its files": _files,
}
"""What a manifest must hold, in words, and whether it does."""

_KINDS: dict[str, type] = {
    **dict.fromkeys(("title", "description", "created", "ranking"), str),
    **dict.fromkeys(("adapters", "suites", "decoding", "packages", "detail", "scorers", "score_columns"), dict),
    "answers": list,
}
"""What else it may hold, and of which kind."""
