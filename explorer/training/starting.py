"""What a training starts from: the sum of what several adapters have learnt, as one adapter in PEFT's own format.

The factors are 1 + Σ weight · (factors − 1) (task arithmetic, Ilharco et al. 2023): adapters of the same base that were
trained apart, on other data or by another loss, add up where they do not contradict each other.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from explorer.digests import digest
from explorer.errors import ExplorerError
from explorer.models import adapters
from explorer.training.config import StartPart

WEIGHTS = "adapter_model.safetensors"


def start_folder(parts: Sequence[StartPart], work: Path) -> Path | None:
    """The folder of the adapter to start from; None for vectors of ones.

    Args:
        parts: the adapters with their weights.
        work: where a sum is written, in a folder of its own; an adapter that is taken as it is stays where it is.

    Raises:
        ExplorerError: an adapter is not of the same shape as the first.
    """
    if not parts:
        return None
    if len(parts) == 1 and parts[0].weight == 1.0:
        return parts[0].folder
    from safetensors.torch import load_file, save_file

    target = work / f"start-{digest(described(parts))[:16]}"
    target.mkdir(parents=True, exist_ok=True)
    tensors = [load_file(str(part.folder / WEIGHTS)) for part in parts]
    for part, found in zip(parts, tensors, strict=True):
        if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in tensors[0].items()}:
            raise ExplorerError(f"{part.adapter} does not scale the same neurons as {parts[0].adapter}; leave one out.")
    total = {
        name: 1.0
        + torch.stack([p.weight * (t[name].float() - 1.0) for p, t in zip(parts, tensors, strict=True)]).sum(0)
        for name in tensors[0]
    }
    save_file(total, str(target / WEIGHTS), metadata={"format": "pt"})
    shutil.copyfile(parts[0].folder / "adapter_config.json", target / "adapter_config.json")
    return target


def described(parts: Sequence[StartPart]) -> list[dict[str, Any]]:
    """Name, digest and weight of each adapter."""
    return [{"name": p.folder.name, "sha256": adapters.digest(p.folder), "weight": p.weight} for p in parts]


def start_name(parts: Sequence[StartPart]) -> str:
    """What the parts are called together: "safety_dpo", or "1.2 × safety_dpo + 0.4 × safety_broad"."""
    if len(parts) == 1 and parts[0].weight == 1.0:
        return parts[0].folder.name
    return " + ".join(f"{p.weight:g} × {p.folder.name}" for p in parts)
