"""Where models and adapters lie: folders, GGUF files, embedded models, and repositories of the hub.

    folder = model_folder("org/model", "step1000", progress)     # fetched once, then read from the cache
    folder = adapter_folder("adapters/dpo")

A hub id is fetched as a whole first (safetensors, settings and tokeniser; no pickles, no code), so that what is loaded
afterwards is always a folder, and nothing that loads it asks the network. `org/model@branch` names a branch, tag or
commit.
"""

import contextlib
import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from explorer.errors import ExplorerError, first_line
from explorer.models import embedded, gguf
from explorer.models.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    PICKLES,
    check_model_folder,
    check_pointers,
    check_weights,
)
from explorer.progress import NamedProgress

EMBEDDED = "embedded:"

HUB_SECONDS = 4.0
"""How long the hub is waited for before it counts as out of reach."""

_HUB_ID = re.compile(r"(?!.*(?:--|\.\.))[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
_READING = ["*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken"]
_MODEL_FILES = ["*.safetensors", *_READING]
_ADAPTER_FILES = ["adapter_*", *_READING]
_NOT_WANTED = ["*/*", "consolidated*", "*.fp16.*", "*.non_ema.*", *(f"*{suffix}" for suffix in PICKLES)]

_fetched: dict[tuple[str, str, str], Path] = {}
"""What this process has fetched, by name, revision and kind: a pair asks for each of its repositories several times."""

_reached: list[tuple[float, str]] = []
"""When the hub was last tried in this process, and what was wrong ("" for nothing)."""


def split_revision(place: str) -> tuple[str, str]:
    """A place without its revision, and the revision: `org/model@branch`; "" for what lies here or names none."""
    name, at, revision = place.rpartition("@")
    return (name, revision) if at and revision and is_hub_id(name) and not is_there(Path(place)) else (place, "")


def is_there(path: Path, file: bool = False) -> bool:
    """Whether something is at a path; False also where no path can be so (too long, a zero byte)."""
    try:
        return path.is_file() if file else path.exists()
    except (OSError, ValueError):
        return False


def is_hub_id(place: str) -> bool:
    """Whether this can be the name of a repository: `name` or `org/name`."""
    return bool(_HUB_ID.fullmatch(place)) and not place.startswith((".", "/"))


def model_folder(place: str, revision: str = "", progress: NamedProgress | None = None) -> Path:
    """The folder of a base model, fetched or unpacked first where it has to be.

    Args:
        place: a folder, a .gguf file, `embedded:NAME`, or a hub id, with `@revision` or without.
        revision: branch, tag or commit of a hub id; "" for the main branch.
        progress: called as the work goes on.

    Raises:
        ExplorerError: it is not there, cannot be had, or is damaged.
    """
    if place.startswith(EMBEDDED):
        name = place.removeprefix(EMBEDDED)
        if name != embedded.NAME:
            raise ExplorerError(
                f"There is no embedded model “{name}”; the embedded model is {EMBEDDED}{embedded.NAME}."
            )
        return embedded.ensure(progress)
    if place.endswith(gguf.SUFFIX):
        return gguf.unpacked(Path(place), progress)
    folder = _local_or_hub(place, revision, "model", _MODEL_FILES, progress)
    check_model_folder(folder, place)
    return folder


def adapter_folder(place: str, progress: NamedProgress | None = None) -> Path:
    """The folder of an adapter, fetched first where it is a hub id.

    Raises:
        ExplorerError: it is not there, cannot be had, or holds no adapter's weights in safetensors.
    """
    folder = _local_or_hub(place, "", "adapter", _ADAPTER_FILES, progress)
    if not (folder / ADAPTER_CONFIG).is_file():
        raise ExplorerError(f"“{place}” is no PEFT adapter: it has no {ADAPTER_CONFIG}.")
    check_pointers(folder)
    adapter_weights(folder)
    return folder


def adapter_weights(folder: Path) -> Path:
    """An adapter's file of weights, seen to be whole.

    Raises:
        ExplorerError: it is missing, damaged, or a pickle.
    """
    file = folder / ADAPTER_WEIGHTS
    if not file.is_file():
        pickle = next((p.name for p in sorted(folder.iterdir()) if p.suffix in PICKLES), "")
        if pickle:
            raise ExplorerError(
                f"The adapter {folder} keeps its weights in {pickle}, a pickle, which can run code and is never "
                "opened; save the adapter with peft as safetensors."
            )
        raise ExplorerError(f"The adapter {folder} has no {ADAPTER_WEIGHTS}; save it with peft as safetensors.")
    check_weights(file)
    return file


def _local_or_hub(place: str, revision: str, what: str, files: list[str], progress: NamedProgress | None) -> Path:
    name, said = split_revision(place)
    if is_there(Path(place)):
        return Path(place)
    if not is_hub_id(name):
        raise ExplorerError(
            f"The {what} “{place}” could not be loaded: it is neither a folder here nor a hub id (org/name)."
        )
    key = (name, revision or said, what)
    if key not in _fetched:
        _fetched[key] = fetch(name, revision or said, what, files, progress)
    return _fetched[key]


def fetch(name: str, revision: str, what: str, files: list[str], progress: NamedProgress | None = None) -> Path:
    """The folder of a hub repository's files in the hub's own cache, fetched where they are not there yet.

    Args:
        name: of the repository.
        revision: branch, tag or commit; "" for the main branch.
        what: "model" or "adapter", for messages.
        files: patterns of the files that are wanted.
        progress: called before the work begins.

    Raises:
        ExplorerError: the hub is out of reach and the files are not in its cache, or it does not give them.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    which = f"“{name}”" + (f" at revision “{revision}”" if revision else "")
    options: Any = {"revision": revision or None, "allow_patterns": files, "ignore_patterns": _NOT_WANTED}
    reason = unreachable()
    try:
        if reason:
            return Path(snapshot_download(name, local_files_only=True, **options))
        if progress:
            progress(f"Fetching {name} from the hub", 0.0)
        return Path(snapshot_download(name, **options))
    except GatedRepoError as problem:
        raise ExplorerError(
            f"The {what} {which} asks for its licence to be accepted: do so on its page on the hub, then run hf auth "
            "login."
        ) from problem
    except RevisionNotFoundError as problem:
        raise ExplorerError(f"The {what} “{name}” has no revision “{revision}”; check its branches.") from problem
    except (LocalEntryNotFoundError, RepositoryNotFoundError) as problem:
        said = reason or "the hub gives no repository of this name"
        raise ExplorerError(
            f"The {what} {which} could not be loaded: it is neither a folder here nor in the hub's cache, and {said}; "
            "give a folder, or check the name."
        ) from problem
    except OSError as problem:
        said = problem.strerror or first_line(problem)
        raise ExplorerError(f"The {what} {which} could not be fetched from the hub: {said}.") from problem
    except Exception as problem:  # the hub raises a dozen kinds more; each means the same to a person
        raise ExplorerError(f"The {what} {which} could not be fetched from the hub: {first_line(problem)}") from problem


def unreachable() -> str:
    """Why the hub cannot be asked now, as part of a sentence; "" where it can.

    huggingface_hub tries for 15 silent seconds and more; a connection to its address says the same in a few.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode() or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return "HF_HUB_OFFLINE is set"
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return ""  # the proxy knows
    if not _reached or time.monotonic() - _reached[-1][0] > 60:
        address = urlsplit(constants.ENDPOINT)
        port = address.port or (80 if address.scheme == "http" else 443)
        answers: list[bool] = []

        def knock() -> None:
            with contextlib.suppress(OSError):
                socket.create_connection((address.hostname or "", port), timeout=HUB_SECONDS).close()
                answers.append(True)

        thread = threading.Thread(target=knock, daemon=True)  # looking up a name knows no timeout of its own
        thread.start()
        thread.join(HUB_SECONDS)
        _reached[:] = [(time.monotonic(), "" if answers else f"the hub ({address.hostname}) cannot be reached")]
    return _reached[-1][1]
