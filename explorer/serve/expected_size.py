"""About how much memory a pair will take, before it is loaded.

kind, size = expected_size("demo")      # ("cpu", 541000000); 0 bytes where nothing is known
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.models import embedded
from explorer.models.pair_file import EMBEDDED, read_pair_file
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.models.weight_size import bytes_by_address, weight_bytes

if TYPE_CHECKING:
    from explorer.models.pair import Pair


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


def shared_size(name: str, pairs: "Iterable[Pair]") -> int:
    """How many bytes of a pair's weights are in memory already, as a model of one of these pairs."""
    try:
        spec = read_pair_file(name)
    except ExplorerError:
        return 0
    wanted = {_identity(model, spec) for model in (spec.m1, spec.m2)}
    held: dict[int, int] = {}
    for pair in pairs:
        for model, module in ((pair.spec.m1, pair.backbone1), (pair.spec.m2, pair.backbone2)):
            if _identity(model, pair.spec) in wanted:
                held |= bytes_by_address(module)
    return sum(held.values())


def _identity(model: ModelSpec, spec: PairSpec) -> tuple[object, ...]:
    """Equal for models of two pair files that are loaded once; see `models.loader.Loader.load`."""
    beside = spec.source.parent if spec.source and model.adapters else None  # where adapters of a relative path lie
    place, how = str(_folder(model, spec.source)), (spec.dtype, spec.device, str(spec.device_map), spec.quantisation)
    return place, model.adapters, beside, model.revision, *how


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
