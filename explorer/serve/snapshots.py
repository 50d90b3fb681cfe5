"""Answers kept on the server under a short digest, so that a link shows the same ones again.

name = save(record)         # "3f9a…", 16 letters
load(name)                  # the record; raises where it is no longer kept

A few hundred are kept, the newest; a link to one that is gone says so.
"""

import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from types import NoneType
from typing import Any

from explorer.digests import digest
from explorer.engine.options import Sampling
from explorer.errors import ExplorerError
from explorer.files import make_folder, read_json, write_json
from explorer.paths import user_cache
from explorer.public import refuse_in_public
from explorer.serve.generation import SHOWN, End
from explorer.serve.history import Record
from explorer.serve.samples import MOST_SAMPLES

MOST = 500
"""Records that are kept."""

LARGEST = 400_000
"""Bytes of one record."""

_NAME = re.compile(r"[0-9a-f]{16}")
_BY_COLUMN: dict[str, tuple[type, ...]] = {
    "texts": (str,),
    "costs": (int, float, NoneType),
    "rewards": (int, float, NoneType),
    "refused": (bool, NoneType),
    "verdicts": (str,),
    "tokens": (int,),
    "ends": (str,),
}
_PLAIN: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "time", "prompt", "ranking", "set", "kind", "direction", "control"), (str,)),
    **dict.fromkeys(("neuron_list", "neurons_sha256"), (str,)),
    **dict.fromkeys(("neurons", "max_new_tokens"), (int,)),
    **dict.fromkeys(("fraction", "strength"), (int, float)),
    "positions": (str, int),
    "tokens_per_second": (int, float, NoneType),
    "stopped": (bool,),
    **dict.fromkeys(("temperature", "top_p"), (int, float)),
    "sampling_seed": (int,),
}
_NEWER: dict[str, Any] = {"temperature": 0.0, "top_p": 1.0, "sampling_seed": 0, "others": [], "own": {}}
"""Fields that records of older links lack, and what they are there."""


def folder() -> Path:
    """Where they are kept."""
    return user_cache() / "links"


def save(kept: Record) -> str:
    """Keep a record; its name. The oldest make room.

    Raises:
        ExplorerError: it is too long, the folder cannot be written, or this server is public.
    """
    refuse_in_public("Keeping answers behind a link")
    value = asdict(kept)
    if len(json.dumps(value)) > LARGEST:
        raise ExplorerError("These answers are too long to be kept for a link; download them instead.")
    name = digest(value)[:16]
    write_json(make_folder(folder()) / f"{name}.json", value)
    files = sorted(folder().glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in files[MOST:]:
        old.unlink(missing_ok=True)
    return name


def load(name: str) -> Record:
    """The record of a name.

    Raises:
        ExplorerError: it is no such name, or is no longer kept.
    """
    if not _NAME.fullmatch(name):
        raise ExplorerError("The link names no answers: a name has 16 of the letters 0 to 9 and a to f.")
    value = read_json(folder() / f"{name}.json")
    if value is None:
        raise ExplorerError("The answers of this link are no longer kept on this server; press Generate for new ones.")
    whole = _NEWER | value if isinstance(value, dict) else value
    if not _is_record(whole) or digest(value)[:16] != name:
        raise ExplorerError("The answers of this link are damaged; press Generate for new ones.")
    return Record(**whole)


def _is_record(value: Any) -> bool:
    """Whether a JSON value has the fields of a record, each of its type, and columns that are known."""
    if not isinstance(value, dict) or set(value) != {one.name for one in fields(Record)}:
        return False
    if not all(isinstance(value[name], types) for name, types in _PLAIN.items()):
        return False
    for name in ("settings", "origin"):
        cells = value[name]
        if not isinstance(cells, dict) or not all(isinstance(text, str) for text in cells.values()):
            return False
    if not _is_sampling(value) or not isinstance(value["others"], list) or len(value["others"]) >= MOST_SAMPLES:
        return False
    if not _is_sample(value, value) or not all(_is_sample(one, value) for one in value["others"]):
        return False
    own = value["own"]
    if not isinstance(own, dict) or not set(own) <= set(value["texts"]):
        return False
    return all(_are_turns(turns) for turns in (value["before"], *own.values()))


def _is_sampling(value: dict[str, Any]) -> bool:
    """Whether the three settings of the sampling are usable."""
    try:
        Sampling(value["temperature"], value["top_p"], value["sampling_seed"])
    except ExplorerError:
        return False
    return True


def _is_sample(value: Any, first: dict[str, Any]) -> bool:
    """Whether a JSON value has the fields of a sample, with the columns of the first one."""
    if not isinstance(value, dict) or not set(_BY_COLUMN) <= set(value):
        return False
    for name, types in _BY_COLUMN.items():
        cells = value[name]
        if not isinstance(cells, dict) or not set(cells) <= set(SHOWN):
            return False
        if not all(isinstance(cell, types) for cell in cells.values()):
            return False
    ends = {"", *(end.value for end in End)}
    same = set(value["texts"]) == set(first["texts"])
    return same and {"unpatched", "patched", "aligned"} <= set(value["texts"]) and set(value["ends"].values()) <= ends


def _are_turns(turns: Any) -> bool:
    """Whether a JSON value is a list of [role, text]."""
    return isinstance(turns, list) and all(_is_turn(turn) for turn in turns)


def _is_turn(turn: Any) -> bool:
    """Whether a JSON value is [role, text]."""
    return isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn)
