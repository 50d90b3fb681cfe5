"""What every ranking of neurons is: a score for each, where they stand, and the sets that are taken from it."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet, existing

_ARRAYS = ("scores", "mean1", "mean2", "std1", "std2")


def count_of(fraction: float, total: int) -> int:
    """How many of `total` neurons a fraction (0 to 1) is, rounded to the nearest.

    Raises:
        ExplorerError: the fraction is not a number from 0 to 1.
    """
    if not isinstance(fraction, int | float | np.number) or not 0 <= fraction <= 1:
        raise ExplorerError(f"The patched fraction must lie from 0 to 1 (0.05 is 5 %), not {fraction}.")
    return round(float(fraction) * total)


@dataclass(frozen=True, eq=False)
class Ranking:
    """A score for every neuron, with what the activations behind it were like.

    Attributes:
        scores: float32 [n_layers, n_neurons]; what they measure is said by the kind of ranking.
        count: positions that the means are over.
        mean1, mean2: float32 [n_layers, n_neurons], mean activation in M1 and in M2; nan where it is not known.
        std1, std2: float32 [n_layers, n_neurons], its standard deviation over the positions.
        excluded_layers: layers left out of every ranking (the authors' code leaves out the last).
        label: what the scores are of, in words.
        meta: what they were computed from, as plain JSON values.
    """

    kind: ClassVar[str] = ""
    """What a run calls this kind of ranking."""

    scores: np.ndarray
    count: int
    mean1: np.ndarray
    mean2: np.ndarray
    std1: np.ndarray
    std2: np.ndarray
    excluded_layers: tuple[int, ...] = ()
    label: str = "ranking"
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        return int(self.scores.shape[0])

    @property
    def n_neurons(self) -> int:
        return int(self.scores.shape[1])

    @property
    def widths(self) -> tuple[int, ...] | None:
        """Neurons of each layer, of a model whose layers differ (what lies behind them is never ranked); else None."""
        widths = self.meta.get("widths")
        return tuple(widths) if widths else None

    @property
    def total_neurons(self) -> int:
        """Neurons of the whole model."""
        return sum(self.widths) if self.widths else int(self.scores.size)

    @property
    def ranked_by(self) -> np.ndarray:
        """[n_layers, n_neurons]: the neuron with the highest of these numbers is the first."""
        return self.scores

    @property
    def score_name(self) -> str:
        """What a set is chosen by, in the labels of sets."""
        return "score"

    @cached_property
    def order(self) -> np.ndarray:
        """int64 [ranked]: flat neuron indices, the first one's first; equal ones by layer and index."""
        order = np.argsort(-self.ranked_by.reshape(-1), kind="stable")
        if self.excluded_layers:
            order = order[~np.isin(order // self.n_neurons, self.excluded_layers)]
        if self.widths:
            order = order[existing(self).reshape(-1)[order]]
        return order.astype(np.int64)

    @cached_property
    def ranks(self) -> np.ndarray:
        """int64 [n_layers, n_neurons]: the rank of each neuron from 1; 0 where there is none and in excluded layers."""
        ranks = np.zeros(self.scores.size, dtype=np.int64)
        ranks[self.order] = np.arange(1, len(self.order) + 1)
        return ranks.reshape(self.scores.shape)

    def top(self, k: int | None = None, *, fraction: float | None = None) -> NeuronSet:
        """The k highest neurons, or the highest `fraction` (0 to 1) of all neurons of the model.

        Raises:
            ExplorerError: neither or both are given, or one is out of range.
        """
        if (k is None) == (fraction is None):
            raise ExplorerError("Say either how many neurons (k) or which fraction of them, not both.")
        if fraction is not None:
            k = min(count_of(fraction, self.total_neurons), len(self.order))
            label = f"top {100 * fraction:.6g}% by {self.score_name}"
        else:
            label = f"top {k} by {self.score_name}"
        return self.window(0, int(k or 0)).relabel(label)

    def window(self, start: int, count: int) -> NeuronSet:
        """The neurons of ranks start+1 to start+count ("rank matters", paper section 4.2).

        Raises:
            ExplorerError: the window reaches outside the ranking.
        """
        if start < 0 or count < 0 or start + count > len(self.order):
            raise ExplorerError(
                f"Ranks {start + 1} to {start + count} do not exist: the ranking holds {len(self.order)} neurons."
            )
        return NeuronSet.from_flat(self.order[start : start + count], self, f"ranks {start + 1} to {start + count}")

    def to_parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The arrays, and all else as plain values: the form in which a run keeps a ranking."""
        about = {
            "kind": self.kind,
            "label": self.label,
            "count": self.count,
            "excluded_layers": list(self.excluded_layers),
            "meta": self.meta,
        }
        return {key: getattr(self, key) for key in _ARRAYS}, about

    @classmethod
    def from_parts(cls, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> Self:
        """The ranking that `to_parts` took apart."""
        return cls(
            **{key: arrays[key] for key in _ARRAYS},
            count=int(about["count"]),
            excluded_layers=tuple(about["excluded_layers"]),
            label=about["label"],
            meta=about["meta"],
        )

    def without_layers(self, *layers: int) -> Self:
        """The same scores with these layers (negative: from the end) left out of the ranking."""
        return replace(self, excluded_layers=normalise_layers(layers, self.n_layers))


def normalise_layers(layers: tuple[int, ...] | list[int], n_layers: int) -> tuple[int, ...]:
    """Layers as sorted indices from 0; negative ones count from the end.

    Raises:
        ExplorerError: a layer does not exist.
    """
    for layer in layers:
        if not -n_layers <= layer < n_layers:
            raise ExplorerError(f"Layer {layer} does not exist: this model has layers 0 to {n_layers - 1}.")
    return tuple(sorted({layer % n_layers for layer in layers}))
