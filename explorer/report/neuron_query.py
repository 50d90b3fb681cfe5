"""Which neurons of a ranking a person wants to see, in which order; and all that is known of one of them.

    found = select(changes, Query(layers=(3, 4), last_rank=1000), limit=2000)
    listing(changes, found.shown)

Sized for 700,000 neurons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.errors import ExplorerError
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.neurons.tables import neuron_label, neuron_table

SORTS = {
    "rank": "Rank",
    "layer": "Layer and index",
    "mean_m1": "Mean in M1",
    "mean_m2": "Mean in M2",
    "mean_change": "Mean change (M2 − M1)",
    "size_of_change": "Size of the mean change",
    "std_m1": "Spread in M1",
    "std_m2": "Spread in M2",
}
"""What a list can be sorted by; by rank is by change score."""


@dataclass(frozen=True)
class Query:
    """A choice of neurons.

    Attributes:
        layers: only these; all where empty.
        first_rank, last_rank: only ranks from here to there, from 1; no upper bound where None.
        names: only these, as a person writes them ("12.345, 3.7"); all where empty.
        sort: a key of `SORTS`.
        descending: highest first.
    """

    layers: tuple[int, ...] = ()
    first_rank: int = 1
    last_rank: int | None = None
    names: str = ""
    sort: str = "rank"
    descending: bool = False


@dataclass(frozen=True)
class Selection:
    """The answer to a query.

    Attributes:
        all: int64 [matching], flat indices in rank order.
        shown: int64 [at most the limit], the first ones in the order that was asked for.
    """

    all: np.ndarray
    shown: np.ndarray


def select(changes: Ranking, query: Query, limit: int) -> Selection:
    """The neurons that match, and the first `limit` of them in the order asked for.

    Raises:
        ExplorerError: a part of the query is not usable.
    """
    total = len(changes.order)
    last = total if query.last_rank is None else query.last_rank
    if query.first_rank < 1 or last < query.first_rank:
        raise ExplorerError(f"Ranks go from 1 to {total:,}; write the lower one first.")
    flat = changes.order[query.first_rank - 1 : last]
    if query.layers:
        outside = [layer for layer in query.layers if not 0 <= layer < changes.n_layers]
        if outside:
            raise ExplorerError(
                f"Layer {outside[0]} does not exist: this model has layers 0 to {changes.n_layers - 1}."
            )
        wanted = np.zeros(changes.n_layers, dtype=bool)
        wanted[list(query.layers)] = True
        flat = flat[wanted[flat // changes.n_neurons]]
    if query.names.strip():
        flat = flat[np.isin(flat, NeuronSet.parse(query.names, changes).flat())]
    return Selection(flat, _first(changes, flat, query, limit))


def _first(changes: Ranking, flat: np.ndarray, query: Query, limit: int) -> np.ndarray:
    if query.sort not in SORTS:
        raise ExplorerError(f"“{query.sort[:40]}” is nothing to sort by; choose one of {', '.join(SORTS)}.")
    if query.sort == "rank":
        return flat[::-1][:limit] if query.descending else flat[:limit]
    keys = _sort_keys(changes, flat, query.sort)
    if query.descending:
        keys = -keys
    if len(flat) > limit:  # find the first ones, then sort only those
        near = np.argpartition(keys, limit - 1)[:limit]
        flat, keys = flat[near], keys[near]
    return flat[np.argsort(keys, kind="stable")]


def _sort_keys(changes: Ranking, flat: np.ndarray, sort: str) -> np.ndarray:
    if sort == "layer":
        return flat
    if sort in ("mean_change", "size_of_change"):
        change = changes.mean2.reshape(-1)[flat] - changes.mean1.reshape(-1)[flat]
        return np.abs(change) if sort == "size_of_change" else change
    arrays = {"mean_m1": changes.mean1, "mean_m2": changes.mean2, "std_m1": changes.std1, "std_m2": changes.std2}
    return arrays[sort].reshape(-1)[flat]


def listing(changes: Ranking, flat: np.ndarray) -> pd.DataFrame:
    """The table of some neurons, with labels.

    Args:
        changes: the ranking.
        flat: int64 [rows], in the order wanted.

    Returns:
        The columns of `neuron_table`, then mean_change (M2 − M1) and direction ("▲ higher", "▼ lower",
        "same": in M2 than in M1).
    """
    frame = neuron_table(changes, flat)
    change = frame["mean_m2"] - frame["mean_m1"]
    direction = np.select([change > 0, change < 0], ["▲ higher", "▼ lower"], "same")
    return frame.assign(mean_change=change, direction=direction)


def parse_one(text: str, changes: Ranking) -> tuple[int, int]:
    """Layer and index of one neuron that a person names ("12.345" or "L12.345").

    Raises:
        ExplorerError: it is no neuron of this model, or more than one.
    """
    ns = NeuronSet.parse(text, changes)
    if len(ns) != 1:
        raise ExplorerError("Name one neuron here, for instance 12.345.")
    return int(ns.layers[0]), int(ns.neurons[0])


def standing(rankings: Mapping[str, Ranking], layer: int, neuron: int) -> pd.DataFrame:
    """Where a neuron stands in every ranking.

    Returns:
        Columns ranking, rank, of, percentile (share of ranked neurons with a lower score, 0 to 1),
        rank_in_layer, of_layer, change_score (its score, whatever that measures); rank and percentile are missing where
        its layer is excluded.
    """
    rows = []
    for name, changes in rankings.items():
        rank, total = int(changes.ranks[layer, neuron]), len(changes.order)
        score, by = changes.scores[layer, neuron], changes.ranked_by[layer]
        rows.append(
            {
                "ranking": name,
                "rank": rank or None,
                "of": total,
                "percentile": 1 - rank / total if rank else None,
                "rank_in_layer": int((by > by[neuron]).sum()) + 1,
                "of_layer": changes.n_neurons,
                "change_score": float(score),
            }
        )
    frame = pd.DataFrame(rows)
    return frame.astype({"rank": "Int64", "percentile": "Float64"})


def means(changes: Ranking, layer: int, neuron: int) -> pd.DataFrame:
    """A neuron's mean and spread in both models: columns model, mean, low, high (one standard deviation)."""
    rows = []
    for model, mean, std in (("M1", changes.mean1, changes.std1), ("M2", changes.mean2, changes.std2)):
        centre, spread = float(mean[layer, neuron]), float(std[layer, neuron])
        rows.append({"model": model, "mean": centre, "low": centre - spread, "high": centre + spread})
    return pd.DataFrame(rows)


def cached_words(
    words: pd.DataFrame, arrays: Mapping[str, np.ndarray], text: int, layer: int, neuron: int
) -> pd.DataFrame | None:
    """A neuron's activations over one of the run's texts; None where the run does not hold this neuron.

    Args:
        words: the run's table `words`.
        arrays: the run's tensors `words`: layers and neurons int64 [K], m1 and m2 [K, rows of `words`].
        text: which text.

    Returns:
        Columns position, token, part, m1, m2.
    """
    row = np.flatnonzero((arrays["layers"] == layer) & (arrays["neurons"] == neuron))
    if not len(row):
        return None
    chosen = np.flatnonzero(words["text"].to_numpy() == text)
    frame = words.iloc[chosen][["position", "token", "part"]].reset_index(drop=True)
    values = {name: arrays[name][row[0], chosen].astype(np.float32) for name in ("m1", "m2")}
    return frame.assign(**values)


def labels(changes: Ranking, flat: Sequence[int] | np.ndarray) -> list[str]:
    """Labels of neurons without the L, as an address carries them: "12.345"."""
    array = np.asarray(flat, dtype=np.int64)
    return [
        neuron_label(layer, index)[1:]
        for layer, index in zip(
            (array // changes.n_neurons).tolist(), (array % changes.n_neurons).tolist(), strict=True
        )
    ]
