"""A ranking out of separated text: one line for each neuron, with its layer (or hook), index and score."""

import re
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from explorer.data.rows import Cells, read_cells
from explorer.errors import ExplorerError
from explorer.text_file import open_text

HOOK = "blocks.{layer}.mlp.hook_post"
"""TransformerLens's name of a layer's neurons: what `down_proj` receives."""

COLUMNS = {
    "neuron": ("neuron", "index", "neuron_index", "idx"),
    "score": ("score", "change_score", "change_scores", "value"),
    "layer": ("layer",),
    "hook": ("hook", "hook_name", "hook_point"),
}
"""What the columns may be called, in upper or lower case."""

MOST_LAYERS, MOST_NEURONS, MOST = 2_000, 2_000_000, 64_000_000
"""Layers of a model, neurons of a layer, and neurons of a model, beyond what any published model has: what names more
is no ranking, and would ask for that much memory."""

_LARGEST = float(np.finfo(np.float32).max)
_HOOK_PATTERN = re.compile(r"blocks\.([0-9]{1,9})\.mlp\.hook_(?:post|mid)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?")


def read_neurons(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The layer and index (int64 [k]) and the score (float64 [k]) of every neuron that a file names.

    Raises:
        ExplorerError: it cannot be read, lacks a column, or a cell is not what its column holds.
    """
    with open_text(path, "ranking file") as file:
        cells = read_cells(file, path)
        names = [name.lower() for name in cells.columns]
        layer, hook, score = (_column(names, what) for what in ("layer", "hook", "score"))
        # Our own tables have labels under "neuron".
        neuron = names.index("index") if "index" in names else _column(names, "neuron")
        place = layer if layer is not None else hook
        rows = 0
        layers, neurons, scores = array("q"), array("q"), array("d")
        if place is None or neuron is None or score is None:
            raise _lacks(path, cells, sum(1 for _ in cells.rows))
        of_layer = _index(path, cells, place, "layer", MOST_LAYERS) if layer is not None else _hook(path)
        of_neuron = _index(path, cells, neuron, "neuron", MOST_NEURONS)
        for number, values in cells.rows:
            rows += 1
            scores.append(_number(path, number, values[score], cells.columns[score], cells.separator))
            layers.append(of_layer(number, values[place]))
            neurons.append(of_neuron(number, values[neuron]))
    if not rows:
        raise _lacks(path, cells, 0)
    return np.array(layers, dtype=np.int64), np.array(neurons, dtype=np.int64), np.array(scores, dtype=np.float64)


def _column(names: Sequence[str], what: str) -> int | None:
    return next((names.index(name) for name in COLUMNS[what] if name in names), None)


def _lacks(path: Path, cells: Cells, rows: int) -> ExplorerError:
    return ExplorerError(
        f"{path} needs the columns layer (or hook), neuron and score, and a row for each neuron; it has "
        f"{', '.join(cells.columns)[:200]} and {rows} rows."
    )


def _number(path: Path, row: int, cell: str, column: str, separator: str) -> float:
    """A cell's number; where columns are not separated by commas, a comma is a decimal one."""
    text = cell.strip()
    if separator != "," and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    value = float(text) if _NUMBER.fullmatch(text) else np.nan
    if not abs(value) <= _LARGEST:
        why = "is not a number" if not _NUMBER.fullmatch(text) else "is more than float32 holds"
        raise ExplorerError(f"{path}, row {row}: “{' '.join(text.split())[:40]}” {why} ({column}).")
    return value


def _index(path: Path, cells: Cells, column: int, what: str, most: int) -> Callable[[int, str], int]:
    name = cells.columns[column]

    def read(row: int, cell: str) -> int:
        value = _number(path, row, cell, name, cells.separator)
        if value < 0 or value != np.floor(value):
            raise ExplorerError(f"{path}, row {row}: a {what} must be a whole number from 0, not {cell.strip()[:40]}.")
        if value >= most:
            raise ExplorerError(f"{path}, row {row}: no model has a {what} {value:.0f}; the {what}s begin at 0.")
        return int(value)

    return read


def _hook(path: Path) -> Callable[[int, str], int]:
    def read(row: int, cell: str) -> int:
        match = _HOOK_PATTERN.fullmatch(cell.strip())
        if match is None or int(match[1]) >= MOST_LAYERS:
            shown = " ".join(cell.split())[:60]
            raise ExplorerError(
                f"{path}, row {row}: “{shown}” is not a hook of MLP neurons like {HOOK.format(layer=3)}."
            )
        return int(match[1])

    return read
