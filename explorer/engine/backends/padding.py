"""How the rows of a decoding batch lie beside each other in the KV cache."""

import torch

from explorer.models.padding import padded


class Padding:
    """How the rows of a batch lie beside each other: real tokens at the right, padding at the left.

    Attributes:
        lengths: int64 [rows], real tokens so far; None before the first step.
        mask: int64 [rows, positions so far], 0 on padding and on what was rolled back; None where all is real.
        ragged: whether some rows had fewer tokens to read than others in the last step.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.lengths: torch.Tensor | None = None
        self.mask: torch.Tensor | None = None
        self.ragged = False

    def advance(self, pending: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and positions, int64 [rows, longest pending] each, of the tokens to read now."""
        longest = max(map(len, pending))
        count = torch.tensor([len(ids) for ids in pending], device=self.device)
        self.ragged = len({len(row) for row in pending}) > 1
        ids = padded(pending, self.device, left=True) if self.ragged else torch.tensor(pending, device=self.device)
        if self.lengths is not None and longest == 1:  # every step but the first
            positions = self.lengths[:, None]
            fresh = torch.ones_like(ids)
        else:
            fresh = (torch.arange(longest, device=self.device) >= longest - count[:, None]).long()
            before = torch.zeros_like(count) if self.lengths is None else self.lengths
            positions = (before[:, None] + fresh.cumsum(dim=1) - 1).clamp(min=0)
        if self.lengths is None:
            self.mask = fresh if self.ragged else None
            self.lengths = count
        else:
            if self.mask is None and self.ragged:
                self.mask = fresh.new_ones(len(pending), int(self.lengths[0]))
            self.mask = None if self.mask is None else torch.cat([self.mask, fresh], dim=1)
            self.lengths = self.lengths + count
        return ids, positions

    def keep(self, index: torch.Tensor) -> None:
        """Only these rows, int64 [kept], in this order."""
        assert self.lengths is not None
        self.lengths = self.lengths[index]
        self.mask = None if self.mask is None else self.mask[index]

    def forget(self, counts: list[int]) -> None:
        """Roll back the last tokens of each row: what all rows roll back is gone, the rest becomes padding."""
        assert self.lengths is not None
        count, least = torch.tensor(counts, device=self.device), min(counts)
        if self.mask is None and max(counts) > least:
            self.mask = count.new_ones(len(counts), int(self.lengths[0]))
        if self.mask is not None:
            positions = self.mask.shape[1]
            kept = torch.arange(positions, device=self.device) < positions - count[:, None]
            self.mask = (self.mask * kept)[:, : positions - least]
        self.lengths = self.lengths - count
