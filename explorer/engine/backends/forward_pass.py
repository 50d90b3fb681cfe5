"""What passes through transformers' own forward have in common."""

from typing import TYPE_CHECKING, Any

import torch

from explorer.engine.backends.interface import DecodePass
from explorer.engine.backends.unembedding import logits_of
from explorer.models.families import is_known

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ForwardPass:
    """Nothing can be rolled back or branched."""

    row_price = None  # a cache may be a sliding window, where a gap counts as a position
    can_branch = False

    def __init__(self, module: "PreTrainedModel") -> None:
        self.module: Any = module

    def greedy(self, hidden: torch.Tensor) -> list[int]:
        """See `interface.DecodePass.greedy`."""
        if not len(hidden):
            return []
        if is_known(self.module):
            return likeliest(self.module.get_output_embeddings()(hidden))
        return likeliest(logits_of(self.module, hidden))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See `interface.DecodePass.logits`."""
        return logits_of(self.module, hidden)

    def forget(self, counts: list[int]) -> None:
        """See `interface.DecodePass.forget`."""
        raise NotImplementedError

    def branch(self, rows: list[int], longest: int) -> DecodePass:
        """See `interface.DecodePass.branch`."""
        raise NotImplementedError


def likeliest(logits: torch.Tensor) -> list[int]:
    """The first index of each row's greatest logit, [rows, vocabulary], as a list."""
    return likeliest_ids(logits).tolist()


def likeliest_ids(logits: torch.Tensor) -> torch.Tensor:
    """The same, int64 [rows], where the logits are."""
    return logits.max(dim=-1).indices  # a quarter of argmax's time in bfloat16
