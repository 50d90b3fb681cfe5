"""Rankings in other people's files, and ours in theirs.

    changes = read_ranking("hh_harmless.pt")            # the authors' torch.save tuple
    changes = read_ranking("mine.csv", like=pair)       # columns layer, neuron (or hook), score
    write_ranking(changes, "safety.pt")                 # .pt for the authors' scripts, .csv for everything else

The authors' scripts save a tuple of six tensors: change scores [layers, neurons]; ranks, (layer, neuron) pairs
[layers × neurons, 2], highest first; mean and standard deviation in M1, then in M2, [layers, neurons] each.
They leave out every layer whose name contains "31", so a model of more than 31 layers lacks layer 31 there;
`like` puts it back, unranked. A CSV needs a score for each neuron it names; those it
does not name are left out of the ranking. A hook column names layers as TransformerLens does
(`blocks.{layer}.mlp.hook_post`); commas, semicolons and tabs separate, in any encoding of `explorer.text_file`.
"""

import io
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.errors import ExplorerError
from explorer.files import is_file, whole
from explorer.neurons.ranking import Ranking
from explorer.neurons.ranking_csv import COLUMNS, HOOK, MOST, MOST_LAYERS, MOST_NEURONS, read_neurons
from explorer.neurons.scores import ChangeScores
from explorer.neurons.sets import HasNeurons

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "HOOK", "TENSORS", "ranking_table", "read_ranking", "write_ranking"]

TENSORS = (".pt", ".pth", ".bin")
"""Endings of files of tensors, in upper or lower case; all others are read as separated text."""

_LEFT_OUT = 31
"""The layer that the authors' scripts leave out, by its name."""


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
    if not is_file(path):
        raise ExplorerError(f"There is no ranking file {path}.")
    changes = _read_tensors(path, like) if path.suffix.lower() in TENSORS else _read_csv(path, like)
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
    if path.suffix.lower() not in (*TENSORS, ".csv"):
        raise ExplorerError(f"A ranking is written to a .pt file (the authors' form) or a .csv file, not {path.name}.")
    with whole(path) as half:
        if path.suffix.lower() == ".csv":
            ranking_table(changes).to_csv(half, index=False)
        else:
            import torch

            data = io.BytesIO()  # torch tells of a full disk in words of its own
            torch.save(_to_tuple(changes), data)
            half.write_bytes(data.getvalue())  # a view in a full disk's traceback crashes Python 3.12.1
    return path


def ranking_table(changes: Ranking) -> "pd.DataFrame":
    """The ranking with TransformerLens hook names: rank, hook, and all columns of `tables.neuron_table`."""
    from explorer.neurons.tables import neuron_table

    table = neuron_table(changes)
    table.insert(1, "hook", [HOOK.format(layer=layer) for layer in table["layer"]])
    return table


def _to_tuple(changes: Ranking) -> tuple[Any, ...]:
    """The authors' six tensors; layers that are left out of our ranking come last in theirs."""
    import torch

    left_out = np.setdiff1d(np.arange(changes.scores.size), changes.order)
    order = np.concatenate([changes.order, left_out])
    pairs = np.stack([order // changes.n_neurons, order % changes.n_neurons], axis=1)
    arrays = (changes.scores, pairs, changes.mean1, changes.std1, changes.mean2, changes.std2)
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)


def _read_tensors(path: Path, like: HasNeurons | None) -> ChangeScores:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that are refused below
            found = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as problem:  # a damaged file ends the reader of pickles in a dozen ways
        raise ExplorerError(
            f"{path} is not a file of plain tensors saved by torch.save; files with other objects are not opened."
        ) from problem
    if not isinstance(found, tuple | list) or len(found) not in (2, 6) or not all(torch.is_tensor(t) for t in found):
        raise ExplorerError(
            f"{path} must hold a tuple of tensors: change scores and ranks, then mean and standard deviation in M1 "
            "and in M2."
        )
    scores, ranks, *rest = (_array(path, tensor) for tensor in found)
    if scores.ndim != 2 or scores.dtype.kind not in "fiu" or not scores.size:
        raise ExplorerError(
            f"{path}: the change scores must be numbers from 0 of shape [layers, neurons], not {list(scores.shape)}."
        )
    if scores.shape[0] > MOST_LAYERS or scores.shape[1] > MOST_NEURONS:
        raise ExplorerError(f"{path}: no model has {scores.shape[0]:,} layers of {scores.shape[1]:,} neurons.")
    scores = scores.astype(np.float32)
    if not np.isfinite(scores).all() or (scores < 0).any():
        raise ExplorerError(
            f"{path}: the change scores must be numbers from 0 that float32 holds; nan, infinite or negative ones "
            "cannot be ranked, so compute them again."
        )
    excluded = _check_ranks(path, scores, ranks)
    for values in rest:
        if values.shape != scores.shape:
            raise ExplorerError(
                f"{path}: means and standard deviations of shape {list(values.shape)} do not belong to scores of shape "
                f"{list(scores.shape)}."
            )
        if values.dtype.kind not in "fiu" or np.isinf(values).any():  # nan where they are not known
            raise ExplorerError(f"{path}: means and standard deviations must be numbers that float32 holds.")
    arrays = [scores, *(rest or [np.full_like(scores, np.nan)] * 4)]
    if like is not None and like.n_layers > _LEFT_OUT and len(scores) == like.n_layers - 1:
        arrays = [np.insert(array, _LEFT_OUT, 0.0, axis=0) for array in arrays]
        excluded = (*(layer + (layer >= _LEFT_OUT) for layer in excluded), _LEFT_OUT)
    scores, mean1, std1, mean2, std2 = arrays
    return _change_scores(path, scores, excluded, (mean1, mean2), (std1, std2))


def _array(path: Path, tensor: Any) -> np.ndarray:
    """A tensor as an array; floating-point numbers as float32, where those that it cannot hold are infinite.

    Raises:
        ExplorerError: it is sparse, quantised or without values, or says that it is larger than any model.
    """
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
        raise ExplorerError(f"{path} holds a sparse, quantised or empty tensor; save plain, dense ones.")
    if math.prod(tensor.shape) > 2 * MOST:
        raise ExplorerError(f"{path} holds a tensor of shape {list(tensor.shape)[:4]}; no model has as many neurons.")
    tensor = tensor.detach()
    try:
        plain = (tensor.float() if tensor.is_floating_point() else tensor).resolve_conj().resolve_neg()
        array: np.ndarray = plain.numpy()
        return array
    except (RuntimeError, TypeError) as problem:  # kinds of numbers that numpy does not know
        raise ExplorerError(f"{path} holds a tensor of {tensor.dtype}; save float32 and int64 ones.") from problem


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
    layers, neurons, score = read_neurons(path)
    n_layers = like.n_layers if like is not None else int(layers.max()) + 1
    n_neurons = like.n_neurons if like is not None else int(neurons.max()) + 1
    if layers.max() >= n_layers or neurons.max() >= n_neurons:
        raise ExplorerError(
            f"{path} names neuron {int(layers.max())}.{int(neurons.max())}, but the model has {n_layers} layers of "
            f"{n_neurons} neurons."
        )
    if n_layers * n_neurons > MOST:
        raise ExplorerError(
            f"{path} names neuron {int(layers.max())}.{int(neurons.max())}, so it speaks of {n_layers * n_neurons:,} "
            "neurons; no model has as many."
        )
    flat = layers * n_neurons + neurons
    if len(np.unique(flat)) != len(flat):
        raise ExplorerError(f"{path} names a neuron twice; give one score for each.")
    named = np.bincount(layers, minlength=n_layers)
    partly = np.flatnonzero((named > 0) & (named < n_neurons))
    if len(partly) and (score < 0).any():
        raise ExplorerError(
            f"{path} has scores below 0 and names {named[partly[0]]} of the {n_neurons} neurons of layer {partly[0]}; "
            "name all of them, since the others would count as 0 and stand above."
        )
    scores = np.zeros((n_layers, n_neurons), dtype=np.float32)
    scores[layers, neurons] = score
    unnamed = tuple(int(i) for i in np.setdiff1d(np.arange(n_layers), layers))
    none = np.full_like(scores, np.nan)
    return _change_scores(path, scores, unnamed, (none, none), (none, none))


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
