"""Rankings in other people's files, and ours in theirs.

    changes = read_ranking("hh_harmless.pt")            # the authors' torch.save tuple
    changes = read_ranking("mine.csv", like=pair)       # columns layer, neuron (or hook), score
    write_ranking(changes, "safety.pt")                 # .pt for the authors' scripts, .csv for everything else

The authors' scripts save a tuple of six tensors: change scores [layers, neurons]; ranks, (layer, neuron) pairs
[layers × neurons, 2], highest first; mean and standard deviation in M1, then in M2, [layers, neurons] each.
They leave out every layer whose name contains "31", so a model of more than 31 layers lacks layer 31 there;
`like` puts it back, unranked. A CSV needs a score for each neuron it names; those it
does not name are left out of the ranking. A hook column names layers as TransformerLens does
(`blocks.{layer}.mlp.hook_post`).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.errors import ExplorerError
from explorer.neurons.ranking import Ranking
from explorer.neurons.scores import ChangeScores
from explorer.neurons.sets import HasNeurons

if TYPE_CHECKING:
    import pandas as pd

HOOK = "blocks.{layer}.mlp.hook_post"
"""TransformerLens's name of a layer's neurons: what `down_proj` receives."""

TENSORS = (".pt", ".pth", ".bin")
COLUMNS = {
    "neuron": ("neuron", "index", "neuron_index", "idx"),
    "score": ("score", "change_score", "change_scores", "value"),
    "layer": ("layer",),
    "hook": ("hook", "hook_name", "hook_point"),
}
"""What the columns of a CSV may be called."""

_LEFT_OUT = 31
"""The layer that the authors' scripts leave out, by its name."""

_HOOK_PATTERN = re.compile(r"blocks\.(\d+)\.mlp\.hook_(?:post|mid)")


def read_ranking(path: str | Path, like: HasNeurons | None = None) -> ChangeScores:
    """The ranking in a file: a `torch.save` tuple as the authors publish them (.pt), or a CSV.

    Args:
        path: the file.
        like: a pair or scores of the model it belongs to, whose size it must have; without it a CSV is taken to
            name the model's last layer and last neuron.

    Raises:
        ExplorerError: the file is missing, of another form, or of another model.
    """
    path = Path(path)
    if not path.is_file():
        raise ExplorerError(f"There is no ranking file {path}.")
    changes = _read_tensors(path, like) if path.suffix in TENSORS else _read_csv(path, like)
    if like is not None and changes.scores.shape != (like.n_layers, like.n_neurons):
        raise ExplorerError(
            f"{path} ranks {changes.n_layers} × {changes.n_neurons} neurons, but the model has {like.n_layers} × "
            f"{like.n_neurons}; use a ranking of this model."
        )
    return changes


def write_ranking(changes: Ranking, path: str | Path) -> Path:
    """Write a ranking for others: `.pt` as the authors' scripts read it, `.csv` with TransformerLens hook names.

    Raises:
        ExplorerError: the file's ending is neither, or it cannot be written.
    """
    path = Path(path)
    if path.suffix not in (*TENSORS, ".csv"):
        raise ExplorerError(f"A ranking is written to a .pt file (the authors' form) or a .csv file, not {path.name}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            ranking_table(changes).to_csv(path, index=False)
        else:
            import torch

            torch.save(_to_tuple(changes), path)
    except OSError as problem:
        raise ExplorerError(f"{path} could not be written: {problem.strerror or problem}.") from problem
    return path


def ranking_table(changes: Ranking) -> "pd.DataFrame":
    """The ranking with TransformerLens hook names: rank, hook, and all columns of `tables.neuron_table`."""
    from explorer.neurons.tables import neuron_table

    table = neuron_table(changes)
    table.insert(1, "hook", [HOOK.format(layer=layer) for layer in table["layer"]])
    return table


def _to_tuple(changes: Ranking) -> tuple:
    """The authors' six tensors; layers that are left out of our ranking come last in theirs."""
    import torch

    left_out = np.setdiff1d(np.arange(changes.scores.size), changes.order)
    order = np.concatenate([changes.order, left_out])
    pairs = np.stack([order // changes.n_neurons, order % changes.n_neurons], axis=1)
    arrays = (changes.scores, pairs, changes.mean1, changes.std1, changes.mean2, changes.std2)
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)


def _read_tensors(path: Path, like: HasNeurons | None) -> ChangeScores:
    import pickle

    import torch

    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, ValueError) as problem:
        raise ExplorerError(
            f"{path} is not a file of plain tensors saved by torch.save; files with other objects are not opened."
        ) from problem
    if not isinstance(found, tuple | list) or len(found) not in (2, 6) or not all(torch.is_tensor(t) for t in found):
        raise ExplorerError(
            f"{path} must hold a tuple of tensors: change scores and ranks, then mean and standard deviation in M1 "
            "and in M2."
        )
    scores, ranks, *rest = (t.float().numpy() if t.is_floating_point() else t.numpy() for t in found)
    if scores.ndim != 2 or not np.isfinite(scores).all() or (scores < 0).any():
        raise ExplorerError(
            f"{path}: the change scores must be numbers from 0 of shape [layers, neurons], not {list(scores.shape)}."
        )
    excluded = _check_ranks(path, scores, ranks)
    for values in rest:
        if values.shape != scores.shape:
            raise ExplorerError(
                f"{path}: means and standard deviations of shape {list(values.shape)} do not belong to scores of shape "
                f"{list(scores.shape)}."
            )
    arrays = [scores, *(rest or [np.full_like(scores, np.nan)] * 4)]
    if like is not None and like.n_layers > _LEFT_OUT and len(scores) == like.n_layers - 1:
        arrays = [np.insert(array, _LEFT_OUT, 0.0, axis=0) for array in arrays]
        excluded = (*(layer + (layer >= _LEFT_OUT) for layer in excluded), _LEFT_OUT)
    scores, mean1, std1, mean2, std2 = arrays
    return _change_scores(path, scores, excluded, (mean1, mean2), (std1, std2))


def _check_ranks(path: Path, scores: np.ndarray, ranks: np.ndarray) -> tuple[int, ...]:
    """The layers that the ranks leave out, after a check that they are the ranks of these scores."""
    if ranks.shape != (scores.size, 2) or ranks.dtype.kind not in "iu":
        raise ExplorerError(
            f"{path}: the ranks must be (layer, neuron) pairs of shape [{scores.size}, 2], not {list(ranks.shape)}."
        )
    inside = (ranks >= 0).all() and (ranks < scores.shape).all()
    order = ranks[:, 0].astype(np.int64) * scores.shape[1] + ranks[:, 1]
    if not inside or len(np.unique(order)) != len(order):
        raise ExplorerError(f"{path}: the ranks name a neuron twice, or one that has no score.")
    along, n = scores.reshape(-1)[order], scores.shape[1]
    for count in range(len(scores)):  # layers that were left out of a ranking stand whole at its end
        ranked = len(order) - count * n
        left_out = np.unique(ranks[ranked:, 0])
        if len(left_out) == count and (np.diff(along[:ranked]) <= 0).all():
            return tuple(int(layer) for layer in left_out)
    raise ExplorerError(f"{path}: the ranks are not those of the change scores, highest first.")


def _read_csv(path: Path, like: HasNeurons | None) -> ChangeScores:
    import pandas as pd

    try:
        table = pd.read_csv(path, sep=None, engine="python")
    except (OSError, ValueError, UnicodeDecodeError) as problem:
        raise ExplorerError(f"{path} is not a readable CSV file.") from problem
    table.columns = [str(name).strip().lower() for name in table.columns]
    score = _numbers(path, table, "score")
    if _column(table, "hook") is not None and _column(table, "layer") is None:
        layers = _layers_of_hooks(path, table[_column(table, "hook")])
    else:
        layers = _indices(path, table, "layer")
    index_column = "index" if "index" in table.columns else None  # our own tables have labels under "neuron"
    neurons = _indices(path, table, "neuron", index_column)
    n_layers = like.n_layers if like is not None else int(layers.max()) + 1
    n_neurons = like.n_neurons if like is not None else int(neurons.max()) + 1
    if layers.max() >= n_layers or neurons.max() >= n_neurons:
        raise ExplorerError(
            f"{path} names neuron {int(layers.max())}.{int(neurons.max())}, but the model has {n_layers} layers of "
            f"{n_neurons} neurons."
        )
    flat = layers * n_neurons + neurons
    if len(np.unique(flat)) != len(flat):
        raise ExplorerError(f"{path} names a neuron twice; give one score for each.")
    scores = np.zeros((n_layers, n_neurons), dtype=np.float32)
    scores[layers, neurons] = score
    unnamed = tuple(int(i) for i in np.setdiff1d(np.arange(n_layers), layers))
    none = np.full_like(scores, np.nan)
    return _change_scores(path, scores, unnamed, (none, none), (none, none))


def _column(table: "pd.DataFrame", what: str) -> str | None:
    return next((name for name in COLUMNS[what] if name in table.columns), None)


def _numbers(path: Path, table: "pd.DataFrame", what: str, column: str | None = None) -> np.ndarray:
    import pandas as pd

    column = column or _column(table, what)
    if column is None or not len(table):
        raise ExplorerError(
            f"{path} needs the columns layer (or hook), neuron and score, and a row for each neuron; it has "
            f"{', '.join(map(str, table.columns))} and {len(table)} rows."
        )
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values)))
        raise ExplorerError(f"{path}, row {row + 2}: “{str(table[column].iloc[row])[:40]}” is not a number ({column}).")
    return values


def _indices(path: Path, table: "pd.DataFrame", what: str, column: str | None = None) -> np.ndarray:
    values = _numbers(path, table, what, column)
    if (values < 0).any() or (values != np.floor(values)).any():
        raise ExplorerError(f"{path}: a {what} must be a whole number from 0.")
    return values.astype(np.int64)


def _layers_of_hooks(path: Path, hooks: "pd.Series[Any]") -> np.ndarray:
    found: Sequence = [_HOOK_PATTERN.fullmatch(str(hook)) for hook in hooks]
    for hook, match in zip(hooks, found, strict=True):
        if match is None:
            raise ExplorerError(f"{path}: “{str(hook)[:60]}” is not a hook of MLP neurons like {HOOK.format(layer=3)}.")
    return np.array([int(match[1]) for match in found], dtype=np.int64)


def _change_scores(
    path: Path,
    scores: np.ndarray,
    excluded: tuple[int, ...],
    means: tuple[np.ndarray, np.ndarray],
    stds: tuple[np.ndarray, np.ndarray],
) -> ChangeScores:
    m1, m2, s1, s2 = (np.ascontiguousarray(a, dtype=np.float32) for a in (*means, *stds))
    return ChangeScores(
        scores=np.ascontiguousarray(scores, dtype=np.float32),
        count=0,
        mean1=m1,
        mean2=m2,
        std1=s1,
        std2=s2,
        excluded_layers=excluded,
        label=f"from {path.name}",
        meta={"file": path.name},
    )
