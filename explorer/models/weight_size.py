"""What the weights of a checkpoint take in memory, told from its files; nothing is loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.models.checkpoint import CONFIG, read_json_file

if TYPE_CHECKING:
    from torch.nn import Module

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of a number of each type."""

_IN_GGUF = 1
"""Bytes of a weight in a GGUF file, about: most are published in eight bits or fewer."""


def weight_bytes(place: Path, dtype: str) -> int:
    """About how many bytes the weights of a folder or of a GGUF file take; 0 where there are none.

    Args:
        place: the folder of a checkpoint, or a GGUF file.
        dtype: that they will have, one of `BYTES`.

    Raises:
        ExplorerError: the folder's config cannot be read.
    """
    return sum(file.stat().st_size * BYTES[dtype] // _stored(file) for file in _files(place))


def _stored(file: Path) -> int:
    """Bytes of a weight in a file."""
    if file.suffix == ".gguf":
        return _IN_GGUF
    config = read_json_file(file.parent / CONFIG, f"The model “{file.parent.name}”")
    return BYTES.get(str(config.get("dtype") or config.get("torch_dtype")), 4)


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    found = list(place.glob("*.safetensors"))
    yield from found or place.glob("*.gguf")


def bytes_by_address(*models: "Module") -> dict[int, int]:
    """What the weights of models take, by where they lie: what is shared stands there once."""
    tensors = [tensor for model in models for tensor in [*model.parameters(), *model.buffers()]]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
