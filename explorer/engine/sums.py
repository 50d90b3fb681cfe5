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

    def add(self, layer: int, a1: torch.Tensor, a2: torch.Tensor) -> None:
        """Add activations [positions, n_neurons] of both models."""
        a1, a2 = a1.float(), a2.to(a1.device).float()
        d = a1 - a2
        self.count[layer] += len(a1)
        self.squared_difference[layer] += _column_sum(d * d)
        self.first[layer] += _column_sum(a1)
        self.first_squared[layer] += _column_sum(a1 * a1)
        self.second[layer] += _column_sum(a2)
        self.second_squared[layer] += _column_sum(a2 * a2)


def _column_sum(values: torch.Tensor) -> np.ndarray:
    """float64 [n_neurons]: sums over positions of float32 [positions, n_neurons].

    A batch has a few hundred positions, which float32 sums well; the running total is float64.
    """
    return values.sum(dim=0).double().cpu().numpy()
