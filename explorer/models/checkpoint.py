"""Look at a model's or an adapter's folder before anything is loaded: are its files what they say they are?

    check_model_folder(Path("models/mine"), "models/mine")
    check_weights(Path("adapters/mine/adapter_model.safetensors"))

Only names, sizes and headers are read, so a checkpoint of any size is looked at in milliseconds. What is wrong is said
in one sentence; the libraries that load the files would say it in sixty lines, or not at all.
"""

import json
import struct
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError

CONFIG, INDEX, WEIGHTS = "config.json", "model.safetensors.index.json", "model.safetensors"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")

POINTER = b"version https://git-lfs"
"""What a Git-LFS pointer begins with, in place of the file."""

_MOST_HEADER = 100_000_000
"""Bytes of a safetensors header, at most: the format's own limit."""


def check_model_folder(folder: Path, place: str) -> None:
    """See that a folder holds one model with whole weights in safetensors.

    Args:
        folder: on this machine.
        place: what the person wrote, for the message.

    Raises:
        ExplorerError: something is missing, cut off, a Git-LFS pointer or a pickle; or it is an adapter.
    """
    if not folder.is_dir():
        raise ExplorerError(f"The model “{place}” is a file; give a folder, a .gguf file or a hub id.")
    is_adapter = (folder / ADAPTER_CONFIG).is_file()
    if is_adapter and not (folder / CONFIG).is_file():
        raise ExplorerError(
            f"“{place}” is an adapter and no whole model; give its base model as base and list it under adapters."
        )
    if is_adapter:
        raise ExplorerError(
            f"“{place}” holds a model and an adapter ({ADAPTER_CONFIG}), so it is not clear which is meant; move the "
            "adapter to a folder of its own."
        )
    check_pointers(folder)
    config = read_json_file(folder / CONFIG, f"The model “{place}”")
    if not isinstance(config.get("model_type"), str):
        raise ExplorerError(f"{folder / CONFIG} does not name its model_type; save the model again with transformers.")
    files = _weight_files(folder, place)
    for file in files:
        check_weights(file)
    _check_sizes(config, sum(file.stat().st_size for file in files), folder / CONFIG)


def _check_sizes(config: dict[str, Any], held: int, file: Path) -> None:
    """See that a model's settings ask for no more than its files can hold: what is missing would be made, and fill the
    memory. A layer has weights for each of the hidden size's numbers, and so has a token; half a byte each is least.

    Raises:
        ExplorerError: they do.
    """
    hidden = config.get("hidden_size", config.get("n_embd", config.get("d_model", 1)))
    for name in ("num_hidden_layers", "n_layer", "num_layers", "vocab_size", "intermediate_size", "n_inner", "d_ff"):
        count = config.get(name)
        if isinstance(count, int) and isinstance(hidden, int) and count * hidden > 2 * held:
            raise ExplorerError(
                f"{file} says {name} = {count:,} at a hidden size of {hidden:,}, too much for the {held:,} bytes of "
                "weights beside it; get both again."
            )


def check_pointers(folder: Path) -> None:
    """Raises:
    ExplorerError: a file of the folder is a Git-LFS pointer in place of the file.
    """
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.stat().st_size < 1024 and _begins(file, POINTER):
            raise ExplorerError(
                f"{file} is a Git-LFS pointer and not the file itself; run git lfs pull in its folder and try again."
            )


def check_weights(file: Path) -> dict[str, list[int]]:
    """See that a safetensors file is whole; the shape of each of its tensors.

    Raises:
        ExplorerError: it is missing, unreadable, cut off, or of another format.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as read:
            (length,) = struct.unpack("<Q", read.read(8).ljust(8, b"\0"))
            header = read.read(min(length, _MOST_HEADER, size))
    except OSError as problem:
        raise ExplorerError(f"{file} cannot be read ({problem.strerror}); check that it is there.") from problem
    if header.startswith(POINTER[8:]) or _begins(file, POINTER):
        raise ExplorerError(f"{file} is a Git-LFS pointer and not the file itself; run git lfs pull in its folder.")
    if size < 8 or len(header) < length:
        raise ExplorerError(f"{file} is cut off or is no safetensors file ({size:,} bytes); get it again.")
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        shapes = {name: [int(n) for n in entry["shape"]] for name, entry in tensors.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as problem:
        raise ExplorerError(f"{file} has no readable safetensors header; get it again.") from problem
    if size != 8 + length + end:
        raise ExplorerError(f"{file} is cut off: it has {size:,} of {8 + length + end:,} bytes; get it again.")
    return shapes


def read_json_file(file: Path, owner: str) -> dict[str, Any]:
    """A JSON object on disk.

    Args:
        file: to read.
        owner: whose it is, for the message: "The model “x”".

    Raises:
        ExplorerError: it is missing, no JSON, or not an object.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as problem:
        raise ExplorerError(f"{owner} has no {file.name} in {file.parent}; check the folder.") from problem
    except OSError as problem:
        raise ExplorerError(f"{file} cannot be read ({problem.strerror}); check its permissions.") from problem
    except (ValueError, RecursionError) as problem:
        raise ExplorerError(f"{file} is not valid JSON; save it again.") from problem
    if not isinstance(found, dict):
        raise ExplorerError(f"{file} is not a table of settings; save it again.")
    return found


def _weight_files(folder: Path, place: str) -> list[Path]:
    """The safetensors files that make up a model."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        index = read_json_file(folder / INDEX, f"The model “{place}”").get("weight_map")
        if not isinstance(index, dict) or not index or not all(isinstance(name, str) for name in index.values()):
            raise ExplorerError(f"{folder / INDEX} names no files of weights; save the model again.")
        files = [folder / name for name in sorted(set(index.values()))]
        for file in files:
            if file.parent != folder or not file.is_file():
                raise ExplorerError(
                    f"The model “{place}” lacks {file.name}, one of its {len(files)} files of weights; get it again."
                )
        return files
    pickles = [file.name for file in sorted(folder.iterdir()) if file.suffix in PICKLES]
    if pickles:
        raise ExplorerError(
            f"The model “{place}” keeps its weights in {pickles[0]}, a pickle, which can run code and is never opened; "
            "save it with safe_serialization=True, as safetensors."
        )
    raise ExplorerError(f"The model “{place}” has no {WEIGHTS} in {folder}; save it with transformers.")


def _begins(file: Path, words: bytes) -> bool:
    try:
        with file.open("rb") as read:
            return read.read(len(words)) == words
    except OSError:
        return False
