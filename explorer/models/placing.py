"""Where weights may lie: the devices that a pair file names, and those that this machine has."""

from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from explorer.errors import ExplorerError
from explorer.models.weight_size import weight_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KINDS = ("cpu", "cuda", "mps", "xpu")

ROOM = 1.25
"""Times its weights: what a model needs with caches and activations."""


def check_device(device: str | int) -> None:
    """Raises:
    ExplorerError: this is no device, or none that this machine has.
    """
    device = f"cuda:{device}" if isinstance(device, int) else device
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as problem:
        raise ExplorerError(f"“{device}” is no device; give cpu, cuda:0, mps or auto.") from problem
    if found.type not in KINDS:
        raise ExplorerError(f"Models cannot be read on the device “{device}”; give cpu, cuda:0, mps or auto.")
    count = _count(found.type)
    if count == 0:
        raise ExplorerError(f"The device “{device}” is not there: torch finds no {found.type} here; use cpu or auto.")
    if found.index is not None and found.index >= count:
        raise ExplorerError(f"The device “{device}” is not there: torch finds {count} of its kind; use a lower number.")


def check_device_map(device_map: dict[str, str | int]) -> None:
    """Raises:
    ExplorerError: a module is to lie on the disk or on a device that is not there.
    """
    for module, device in device_map.items():
        if device == "disk":
            raise ExplorerError(
                f"The device_map puts {module or 'the model'} on the disk, where its neurons cannot be watched; use a "
                "smaller dtype, quantisation, or more devices."
            )
        check_device(device)


def check_in_memory(model: "PreTrainedModel", place: str) -> None:
    """Raises:
    ExplorerError: transformers left some layers on the disk or off the device, since memory is short.
    """
    away = [name for name, parameter in model.named_parameters() if parameter.device.type == "meta"]
    if away:
        raise ExplorerError(
            f"The model “{place}” does not fit into memory ({away[0]} and {len(away) - 1} more weights were left out); "
            "use a smaller dtype, quantisation, or more devices."
        )


def whole_device(folder: Path, dtype: str) -> str | None:
    """The one device that takes a whole model: the emptiest GPU, the processor where there is none; None for no room.

    A model that fits on one device runs faster there than spread over several, which wait for each other.

    Args:
        folder: of the checkpoint.
        dtype: that its weights will have.
    """
    need = ROOM * weight_bytes(folder, dtype)
    if torch.cuda.is_available():
        free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
        best = max(range(len(free)), key=free.__getitem__)
        return f"cuda:{best}" if need <= free[best] else None
    if torch.backends.mps.is_available() or torch.xpu.is_available():
        return None
    return "cpu" if need <= psutil.virtual_memory().available else None


def _count(kind: str) -> int:
    if kind == "cpu":
        return 1
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return torch.cuda.device_count() if kind == "cuda" else torch.xpu.device_count()
