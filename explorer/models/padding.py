"""Texts of unlike length beside each other in one tensor: 0 where a row has no token.

Rows that are decoded end together (`left=True`), rows that are only read begin together: with causal attention no real
token sees padding that comes after it.
"""

from collections.abc import Sequence

import torch


def padded(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu", *, left: bool = False) -> torch.Tensor:
    """Token ids, int64 [rows, longest]."""
    longest = max(map(len, rows))
    filled = [[*_gap(row, longest), *row] if left else [*row, *_gap(row, longest)] for row in rows]
    return torch.tensor(filled, device=device, dtype=torch.long)


def real_tokens(
    rows: Sequence[Sequence[int]], device: torch.device | str = "cpu", *, left: bool = False
) -> torch.Tensor:
    """The mask that goes with `padded`: 1 on tokens, 0 on padding, int64 [rows, longest]."""
    return padded([[1] * len(row) for row in rows], device, left=left)


def _gap(row: Sequence[int], longest: int) -> list[int]:
    return [0] * (longest - len(row))
