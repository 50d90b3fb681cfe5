"""GGUF files unpacked once, to a folder that transformers loads like any other.

transformers reads a GGUF file anew for its configuration, its weights and its tokeniser, and unpacks it at each load;
what is unpacked here is in bfloat16 and in the user's cache.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from explorer.digests import sha256_file
from explorer.errors import ExplorerError, first_line
from explorer.models.checkpoint import POINTER
from explorer.paths import user_cache
from explorer.progress import NamedProgress

SUFFIX = ".gguf"

_RECORD = "converted.json"

# Conversions whose every byte was checked by this process, by folder and file stamps: reading 270 MB
# again for each load of the model would cost more than the load.
_verified: set[tuple] = set()


def unpacked(file: Path, progress: NamedProgress | None = None) -> Path:
    """The folder of a GGUF file's model, unpacked first where that was not done yet.

    Args:
        file: a GGUF file, of an architecture that transformers reads.
        progress: called as the work goes on.

    Raises:
        ExplorerError: there is no such file, it is not a readable GGUF file, or the disk is full.
    """
    try:
        stat = file.stat()
        with file.open("rb") as read:
            begins = read.read(len(POINTER))
    except OSError as problem:
        raise ExplorerError(f"There is no GGUF file {file} that can be read ({problem.strerror}).") from problem
    if begins == POINTER:
        raise ExplorerError(f"{file} is a Git-LFS pointer and not the file itself; run git lfs pull in its folder.")
    stamp = hashlib.sha256(f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()
    return unpack(file, user_cache() / "gguf" / f"{file.stem}-{stamp[:12]}", progress)


def unpack(
    file: Path, target: Path, progress: NamedProgress | None = None, sha256: str = "", again: str = "get it again"
) -> Path:
    """Unpack a GGUF file to `target` unless that is there, whole.

    Two processes may call this at once: one converts, the other waits for it. The folder appears
    whole or not at all.

    Args:
        file: the GGUF file.
        target: folder to make.
        progress: called as the work goes on.
        sha256: what the file's must be; "" for any.
        again: what to do about a file whose checksum is another.

    Raises:
        ExplorerError: the file fails its checksum or cannot be read, or the disk is full.
    """
    from filelock import FileLock
    from safetensors import SafetensorError

    if is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(target) + ".lock"):
            if not is_whole(target):
                _convert(file, target, progress or (lambda _what, _share: None), sha256, again)
    except (OSError, SafetensorError) as problem:  # the latter where the disk is full while weights are written
        said = getattr(problem, "strerror", None) or first_line(problem)
        raise ExplorerError(
            f"{file.name} could not be unpacked to {target.parent} ({said}); free "
            f"{4 * file.stat().st_size / 1e9:.1f} GB there or set EXPLORER_CACHE to another folder."
        ) from problem
    return target


def is_converted(target: Path) -> bool:
    """Whether a conversion was finished there, without reading it."""
    return (target / _RECORD).is_file()


def is_whole(target: Path) -> bool:
    """Whether the folder holds every file of the conversion, byte for byte."""
    try:
        recorded = json.loads((target / _RECORD).read_text(encoding="utf-8"))["files"]
        stats = [(target / name).stat() for name in recorded]
        stamp = (str(target), *((s.st_size, s.st_mtime_ns) for s in stats))
        if stamp not in _verified and all(sha256_file(target / name) == sha for name, sha in recorded.items()):
            _verified.add(stamp)
        return stamp in _verified
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _convert(source: Path, target: Path, progress: NamedProgress, sha256: str, again: str) -> None:
    progress("Checking the model file", 0.0)
    found = sha256_file(source)
    if sha256 and found != sha256:
        raise ExplorerError(f"{source} fails its checksum; {again}.")
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _dequantise(source, work, progress)
        progress("Writing checksums", 0.95)
        files = {path.name: sha256_file(path) for path in sorted(work.iterdir())}
        (work / _RECORD).write_text(json.dumps({"source": found, "files": files}, indent=1), encoding="utf-8")
        if target.exists():  # damaged, or it would not be converted again
            target.rename(work / "damaged")
            shutil.rmtree(work / "damaged")
        os.replace(work, target)
        progress("Model ready", 1.0)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _dequantise(source: Path, work: Path, progress: NamedProgress) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    progress("Unpacking the weights (once)", 0.05)
    with _hub_offline(), _readable(source):
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
def _readable(source: Path):
    """One sentence for what is raised over a file that is no GGUF, or of an architecture that is not known."""
    with source.open("rb") as read:
        if read.read(4) != b"GGUF":
            raise ExplorerError(f"{source} is not a GGUF model that transformers can read: it does not begin as one.")
    try:
        yield
    except OSError:
        raise
    except Exception as problem:  # a damaged file raises whatever Python does
        if type(problem).__name__ == "SafetensorError":
            raise
        raise ExplorerError(
            f"{source} is not a GGUF model that transformers can read: {first_line(problem)}"
        ) from problem


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
