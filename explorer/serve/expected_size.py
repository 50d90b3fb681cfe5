"""About how much memory a pair will take, before it is loaded.

kind, size = expected_size("demo")      # ("cpu", 541000000); 0 bytes where nothing is known
"""

from pathlib import Path

from explorer.errors import ExplorerError
from explorer.models import embedded
from explorer.models.pair_file import EMBEDDED, read_pair_file
from explorer.models.pair_spec import ModelSpec
from explorer.models.weight_size import weight_bytes


def expected_size(name: str) -> tuple[str, int]:
    """On which kind of device ("cpu", "cuda") a pair will be, and about how many bytes it will take there.

    It is told from the files of the weights; where they are not all on this machine, 0 stands for unknown.
    """
    try:
        spec = read_pair_file(name)
        kind = _kind(str(spec.device), bool(spec.device_map))
        dtype = _dtype(spec.dtype, str(spec.device))
        places = {model.base: _folder(model, spec.source) for model in (spec.m1, spec.m2)}
        sizes = [weight_bytes(place, dtype) for place in places.values()]
    except (ExplorerError, OSError):
        return "cpu", 0
    return kind, sum(sizes) if all(sizes) else 0


def _kind(device: str, spread: bool) -> str:
    if device == "auto" or spread:
        import torch  # which whoever is about to load a pair needs

        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cuda" if device.startswith("cuda") else "cpu"


def _dtype(dtype: str, device: str) -> str:
    if dtype != "auto":
        return dtype
    from explorer.models.precision import resolve_dtype  # imports torch

    return resolve_dtype(dtype, device)


def _folder(model: ModelSpec, source: Path | None) -> Path:
    if model.base.startswith(EMBEDDED):
        return embedded.folder()
    place = Path(model.base)
    return place if place.is_absolute() or source is None else source.parent / place
