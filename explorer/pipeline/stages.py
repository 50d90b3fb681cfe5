"""Resumable stages: each is keyed by its inputs and runs again only when one of them changed.

A stage's record is written after its outputs, and its outputs are renamed into place: what a record
names is whole, whatever moment the process died at.
"""

import hashlib
import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from explorer.files import read_json, write_json
from explorer.progress import NamedProgress
from explorer.studies.planning import Stage


def plain_value(value: Any) -> Any:
    """A task's option as a plain JSON value that changes when it does: arrays and neuron sets by their content."""
    from explorer.neurons.patch import Patch
    from explorer.neurons.sets import NeuronSet

    if isinstance(value, Patch):  # the paper's patch is what a bare set means
        neurons = plain_value(value.neurons)
        return neurons if value.is_plain else [neurons, value.strength, value.positions]
    if isinstance(value, NeuronSet):
        return [value.n_layers, value.n_neurons, hashlib.sha256(value.flat().tobytes()).hexdigest()]
    if isinstance(value, np.ndarray):
        return [list(value.shape), str(value.dtype), hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if is_dataclass(value):
        return {field.name: plain_value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    return value


def is_done(stage: Stage, work: Path) -> bool:
    """Whether the stage was run with the same inputs before and all it wrote is there."""
    known = read_json(work / "stages" / f"{stage.name}.json")
    return (
        isinstance(known, dict) and known.get("key") == stage.key and all((work / o).is_file() for o in stage.outputs)
    )


def run_stage(stage: Stage, work: Path, progress: NamedProgress) -> Any:
    """Run a stage unless it is done; what its `run` returned."""
    record = work / "stages" / f"{stage.name}.json"
    if is_done(stage, work):
        progress(stage.name, 1.0)
        return read_json(record)["result"]
    progress(stage.name, 0.0)
    result = stage.run(lambda share: progress(stage.name, min(share, 0.999)))
    write_json(record, {"key": stage.key, "result": result})
    shutil.rmtree(work / "parts" / stage.name, ignore_errors=True)  # not before the record is there
    progress(stage.name, 1.0)
    return result
