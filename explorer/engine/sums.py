"""Running sums of both models' activations: memory does not grow with the number of tokens."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from explorer.errors import ExplorerError


@dataclass
class Sums:
    """Running sums over positions, float64 [n_layers, n_neurons] each; sums of parts add up to those of the whole."""

    squared_difference: np.ndarray
    first: np.ndarray
    first_squared: np.ndarray
    second: np.ndarray
    second_squared: np.ndarray
    count: np.ndarray  # int64 [n_layers, 1]: positions so far; an encoder and a decoder see different ones

    @classmethod
    def zeros(cls, n_layers: int, n_neurons: int) -> "Sums":
        """Nothing summed yet."""
        first, second, third, fourth, fifth = np.zeros((5, n_layers, n_neurons))
        return cls(first, second, third, fourth, fifth, np.zeros((n_layers, 1), dtype=np.int64))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The sums by name."""
        return dict(vars(self))

    @classmethod
    def total(cls, parts: Iterable[dict[str, np.ndarray]]) -> "Sums":
        """The sum of parts that `to_arrays` gave, added in their order: the same parts, the same bits."""
        whole: Sums | None = None
        for part in parts:
            if whole is None:
                whole = cls.zeros(*part["first"].shape)
            for name, value in part.items():
                setattr(whole, name, getattr(whole, name) + value)
        if whole is None:
            raise ExplorerError("There are no prompts to contrast on; give at least one.")
        return whole

    def _add(self, layer: int, count: int, summed: np.ndarray) -> None:
        """Add sums over so many positions, float64 [5, n_neurons], in the order of the fields."""
        self.count[layer] += count
        fields = (self.squared_difference, self.first, self.first_squared, self.second, self.second_squared)
        for field, values in zip(fields, summed, strict=True):
            field[layer] += values


class Summing:
    """Adds activations to sums when a block ends well: a device does not wait on the way, and where memory runs out
    nothing has been added.

    with Summing(sums) as summing:
        summing.add(layer, a1, a2)
    """

    def __init__(self, sums: Sums) -> None:
        self._sums = sums
        self._waiting: dict[int, torch.Tensor] = {}  # float64 [5, n_neurons] by layer, where it was computed
        self._counts: dict[int, int] = {}

    def __enter__(self) -> "Summing":
        return self

    def __exit__(self, kind: object, *_problem: object) -> None:
        if kind is None:
            for layer, summed in self._waiting.items():
                self._sums._add(layer, self._counts[layer], summed.cpu().numpy())
        self._waiting.clear()

    def add(self, layer: int, a1: torch.Tensor, a2: torch.Tensor) -> None:
        """Add activations [positions, n_neurons] of both models."""
        summed = _column_sums(a1, a2.to(a1.device))
        known = self._waiting.get(layer)
        self._waiting[layer] = summed if known is None else known.add_(summed)
        self._counts[layer] = self._counts.get(layer, 0) + len(a1)


def _column_sums(a1: torch.Tensor, a2: torch.Tensor) -> torch.Tensor:
    """float64 [5, n_neurons]: sums over positions, in the order of the fields of `Sums`.

    A batch has a few hundred positions, which float32 sums well; the running total is float64.
    """
    a1, a2 = a1.float(), a2.float()
    d = a1 - a2
    return torch.stack([values.sum(dim=0) for values in (d * d, a1, a1 * a1, a2, a2 * a2)]).double()
