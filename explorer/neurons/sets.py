"""Sets of neurons, and the ways to choose one.

safety = changes.top(fraction=0.05)
control = NeuronSet.random_like(safety, pair, seed=0)
shared = safety & helpful.top(fraction=0.05)
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from explorer.errors import ExplorerError


class HasNeurons(Protocol):
    """Anything with layers of neurons: a model pair, change scores, a neuron set.

    Where layers differ in width it also has `widths`, see `existing`.
    """

    @property
    def n_layers(self) -> int: ...

    @property
    def n_neurons(self) -> int: ...


def existing(like: HasNeurons) -> np.ndarray:
    """bool [n_layers, n_neurons]: the neurons that there are; layers may be narrower than the widest (`widths`)."""
    widths = getattr(like, "widths", None) or [like.n_neurons] * like.n_layers
    return np.arange(like.n_neurons)[None, :] < np.asarray(widths)[:, None]


@dataclass(frozen=True, eq=False)
class NeuronSet:
    """A set of MLP neurons (layer, index) of one architecture.

    Attributes:
        layers: int64 [k], the layer of each neuron, from 0.
        neurons: int64 [k], its index in the input of that layer's `down_proj`, from 0.
        n_layers: layers of the architecture.
        n_neurons: neurons per layer of the architecture, in its widest layer where they differ.
        label: how the set was chosen, in words, for tables and charts.
        widths: neurons of each layer, of an architecture whose layers differ; else None.

    The order is that of choosing (best first for a ranking); a neuron stands in a set once.

    Raises:
        ExplorerError: a neuron lies outside the architecture, or is named twice.
    """

    layers: np.ndarray
    neurons: np.ndarray
    n_layers: int
    n_neurons: int
    label: str = "neurons"
    widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        layers = np.asarray(self.layers, dtype=np.int64).reshape(-1)
        neurons = np.asarray(self.neurons, dtype=np.int64).reshape(-1)
        if len(layers) != len(neurons):
            raise ExplorerError(
                f"A neuron set needs one layer for each neuron, but got {len(layers)} and {len(neurons)}."
            )
        outside = (layers < 0) | (layers >= self.n_layers) | (neurons < 0) | (neurons >= self.n_neurons)
        if outside.any():
            bad = int(np.argmax(outside))
            raise ExplorerError(
                f"Neuron {layers[bad]}.{neurons[bad]} does not exist: this model has layers 0 to {self.n_layers - 1} "
                f"of neurons 0 to {self.n_neurons - 1}."
            )
        if self.widths is not None and (missing := neurons >= np.asarray(self.widths)[layers]).any():
            bad = int(np.argmax(missing))
            raise ExplorerError(
                f"Neuron {layers[bad]}.{neurons[bad]} does not exist: layer {layers[bad]} of this model has "
                f"{self.widths[layers[bad]]} neurons."
            )
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "neurons", neurons)
        if int(self.mask().sum()) != len(layers):  # sorts nothing: half of 700,000 neurons take no time
            values, counts = np.unique(self.flat(), return_counts=True)
            twice = int(values[np.argmax(counts > 1)])
            raise ExplorerError(
                f"Neuron {twice // self.n_neurons}.{twice % self.n_neurons} is named twice; name each neuron once."
            )

    def __len__(self) -> int:
        return len(self.layers)

    def __eq__(self, other: object) -> bool:
        """Two sets are equal when they hold the same neurons of the same architecture, in any order."""
        if not isinstance(other, NeuronSet):
            return NotImplemented
        return self._shape == other._shape and np.array_equal(np.sort(self.flat()), np.sort(other.flat()))

    __hash__ = None  # type: ignore[assignment]

    @property
    def _shape(self) -> tuple[int, int]:
        return (self.n_layers, self.n_neurons)

    @property
    def fraction(self) -> float:
        """The share of the architecture's neurons that are in the set, 0 to 1."""
        return len(self) / (sum(self.widths) if self.widths else self.n_layers * self.n_neurons)

    def flat(self) -> np.ndarray:
        """int64 [k]: layer × n_neurons + index of each neuron."""
        flat: np.ndarray = self.layers * self.n_neurons + self.neurons
        return flat

    def mask(self) -> np.ndarray:
        """bool [n_layers, n_neurons]: which neurons are in the set."""
        mask = np.zeros(self.n_layers * self.n_neurons, dtype=bool)
        mask[self.flat()] = True
        return mask.reshape(self._shape)

    def per_layer(self) -> np.ndarray:
        """int64 [n_layers]: how many neurons of each layer are in the set."""
        return np.bincount(self.layers, minlength=self.n_layers).astype(np.int64)

    @property
    def leaves_half(self) -> bool:
        """Whether no layer has more than half of its neurons in the set, so that `random_like` can match it."""
        return bool((2 * self.per_layer() <= existing(self).sum(axis=1)).all())

    def relabel(self, label: str) -> "NeuronSet":
        """The same neurons under another label."""
        return NeuronSet(self.layers, self.neurons, self.n_layers, self.n_neurons, label, self.widths)

    # -- set operations: the left side's order is kept -------------------------------------------

    def __and__(self, other: "NeuronSet") -> "NeuronSet":
        return self._combine(other, np.isin(self.flat(), other.flat()), "and")

    def __sub__(self, other: "NeuronSet") -> "NeuronSet":
        return self._combine(other, ~np.isin(self.flat(), other.flat()), "without")

    def __or__(self, other: "NeuronSet") -> "NeuronSet":
        self._same_architecture(other)
        extra = other.flat()[~np.isin(other.flat(), self.flat())]
        return NeuronSet.from_flat(np.concatenate([self.flat(), extra]), self, f"{self.label} or {other.label}")

    def _combine(self, other: "NeuronSet", keep: np.ndarray, word: str) -> "NeuronSet":
        self._same_architecture(other)
        return NeuronSet.from_flat(self.flat()[keep], self, f"{self.label} {word} {other.label}")

    def _same_architecture(self, other: "NeuronSet") -> None:
        if self._shape != other._shape:
            raise ExplorerError(
                f"These neuron sets belong to different models ({self.n_layers} × {self.n_neurons} and "
                f"{other.n_layers} × {other.n_neurons} neurons); combine sets of one model."
            )

    # -- ways to choose --------------------------------------------------------------------------

    @classmethod
    def from_flat(cls, flat: np.ndarray, like: HasNeurons, label: str = "neurons") -> "NeuronSet":
        """The set of flat indices (layer × n_neurons + index), int64 [k], of an architecture."""
        flat = np.asarray(flat, dtype=np.int64)
        layers, neurons = flat // like.n_neurons, flat % like.n_neurons
        return cls(layers, neurons, like.n_layers, like.n_neurons, label, getattr(like, "widths", None))

    @classmethod
    def empty(cls, like: HasNeurons) -> "NeuronSet":
        """No neurons at all: patching it changes nothing."""
        return cls.from_flat(np.zeros(0, dtype=np.int64), like, "no neurons")

    @classmethod
    def all(cls, like: HasNeurons) -> "NeuronSet":
        """Every neuron."""
        return cls.from_flat(np.flatnonzero(existing(like)), like, "all neurons")

    @classmethod
    def layer(cls, like: HasNeurons, layer: int = -1) -> "NeuronSet":
        """Every neuron of one layer; -1 is the last one.

        Raises:
            ExplorerError: the model has no such layer.
        """
        index = layer + like.n_layers if layer < 0 else layer
        if not 0 <= index < like.n_layers:
            raise ExplorerError(f"Layer {layer} does not exist: this model has layers 0 to {like.n_layers - 1}.")
        neurons = np.flatnonzero(existing(like)[index])
        return cls.from_flat(index * like.n_neurons + neurons, like, f"layer {index}")

    @classmethod
    def random(cls, like: HasNeurons, k: int, seed: int = 0) -> "NeuronSet":
        """k neurons drawn anywhere, without replacement.

        Raises:
            ExplorerError: k is negative or more than there are neurons.
        """
        there = np.flatnonzero(existing(like))
        if not 0 <= k <= len(there):
            raise ExplorerError(
                f"A random set of {k} neurons cannot be drawn: this model has 0 to {len(there)} to give."
            )
        flat = np.random.default_rng(seed).choice(len(there), size=k, replace=False)
        return cls.from_flat(there[flat], like, f"random anywhere, seed {seed}")

    @classmethod
    def random_like(cls, ns: "NeuronSet", like: HasNeurons | None = None, seed: int = 0) -> "NeuronSet":
        """As many random neurons in each layer as `ns` has there, none of them in `ns` (the paper's control).

        Args:
            ns: the set to match.
            like: the model pair (or scores) the set belongs to; taken from `ns` when left out.
            seed: of numpy's default generator.

        Raises:
            ExplorerError: a layer has fewer neurons outside `ns` than inside it (beyond 50 %).
        """
        if like is not None and (like.n_layers, like.n_neurons) != ns._shape:
            raise ExplorerError(
                f"The set to match has {ns.n_layers} × {ns.n_neurons} neurons, the model {like.n_layers} × "
                f"{like.n_neurons}; use a set of this model."
            )
        rng = np.random.default_rng(seed)
        taken, wanted = ns.mask() | ~existing(ns if like is None else like), ns.per_layer()
        layers, neurons = [], []
        for layer in np.flatnonzero(wanted):
            free = np.flatnonzero(~taken[layer])
            if len(free) < wanted[layer]:
                raise ExplorerError(
                    f"Layer {layer} has {wanted[layer]:,} chosen neurons and only {len(free):,} others, so no disjoint "
                    "random set exists; compare with random neurons up to half of a layer."
                )
            neurons.append(rng.choice(free, size=int(wanted[layer]), replace=False))
            layers.append(np.full(int(wanted[layer]), layer))
        none = np.zeros(0, dtype=np.int64)
        return cls(
            np.concatenate(layers) if layers else none,
            np.concatenate(neurons) if neurons else none,
            *ns._shape,
            f"random, same per layer, seed {seed}",
            ns.widths,
        )

    @classmethod
    def parse(cls, text: str, like: HasNeurons) -> "NeuronSet":
        """A list that a person pastes: `layer.index` pairs between commas, spaces or new lines ("12.345, 12.7").

        `L12.345` and `12/345` and `12:345` are read as well.

        Raises:
            ExplorerError: an entry is not of that form, lies outside the model, or stands twice.
        """
        entries = [entry for entry in re.split(r"[,;\s]+", text.strip()) if entry]
        if not entries:
            raise ExplorerError("The list of neurons is empty; write pairs like 12.345, one for each neuron.")
        if len(entries) > like.n_layers * like.n_neurons:
            raise ExplorerError(f"The list names {len(entries)} neurons, more than this model has.")
        pairs = [re.fullmatch(r"[Ll]?(\d{1,6})[./:](\d{1,9})", entry) for entry in entries]
        for entry, pair in zip(entries, pairs, strict=True):
            if pair is None:
                raise ExplorerError(f"“{entry[:40]}” is not a neuron; write layer.index, for instance 12.345.")
        return cls.from_pairs(((int(p[1]), int(p[2])) for p in pairs if p), like, "pasted list")

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[int, int]], like: HasNeurons, label: str = "neurons") -> "NeuronSet":
        """The set of (layer, index) pairs."""
        array = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
        return cls(array[:, 0], array[:, 1], like.n_layers, like.n_neurons, label, getattr(like, "widths", None))
