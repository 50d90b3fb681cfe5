"""Texts that are padded behind their ends, shown to a visit as texts that end together at the right."""

from collections.abc import Sequence

import torch

from explorer.engine.backends.interface import InPlaceVisit


class AtRight:
    """Where the real tokens of rows lie, padded behind them as they are read, and before them as visits get them.

    What is known by its distance from a text's end (the last prompt token, the answer's first) lies in one column.
    """

    def __init__(self, lengths: Sequence[int], width: int, device: torch.device) -> None:
        """
        Args:
            lengths: of the rows, in tokens.
            width: positions of what visits get.
            device: where the rows are read.
        """
        self.lengths = torch.tensor(lengths, device=device)
        self._width = width
        counted = torch.arange(max(lengths), device=device)[None]
        self._there = counted < self.lengths[:, None]
        self._placed = torch.arange(width, device=device)[None] >= width - self.lengths[:, None]

    def show(self, visit: InPlaceVisit, layer: int, h: torch.Tensor) -> None:
        """Let a visit change activations [rows, longest, n_neurons] in place."""
        there, placed = self._there.to(h.device), self._placed.to(h.device)
        moved = h.new_zeros(len(h), self._width, h.shape[-1])
        moved[placed] = h[there]  # row by row and in their order, in both
        visit(layer, moved)
        h[there] = moved[placed]
