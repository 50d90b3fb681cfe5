"""Any model of a known family, through transformers' own forward and hooks on its neurons."""

from typing import TYPE_CHECKING, Any

import torch

from explorer.engine.backends.caching import cached_step, caches_rows, select_rows
from explorer.engine.backends.interface import DecodePass, InPlaceVisit
from explorer.engine.backends.padding import Padding
from explorer.engine.backends.unembedding import logits_of
from explorer.engine.reading import Inputs, read
from explorer.models.families import is_known
from explorer.models.hooks import neuron_hooks

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class HookedBackend:
    """See `interface.Backend`."""

    name = "transformers"

    def takes(self, module: "PreTrainedModel") -> bool:
        """Every model of a known family; an unknown one is refused before it is loaded."""
        return True

    def begin(self, module: "PreTrainedModel", longest: int) -> DecodePass:
        """See `interface.Backend.begin`."""
        from explorer.engine.backends.recomputing import RecomputingPass

        return HookedPass(module) if caches_rows(module) else RecomputingPass(module, longest)

    def read(self, module: "PreTrainedModel", inputs: Inputs, visit: InPlaceVisit) -> None:
        """See `interface.Backend.read`."""
        with neuron_hooks(module, visit):
            read(module, inputs)


class ForwardPass:
    """What passes through transformers' own forward have in common: nothing can be rolled back or branched."""

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

    def forget(self, counts: list[int]) -> None:
        """See `interface.DecodePass.forget`."""
        raise NotImplementedError

    def branch(self, rows: list[int], longest: int) -> DecodePass:
        """See `interface.DecodePass.branch`."""
        raise NotImplementedError


class HookedPass(ForwardPass):
    """A batch of rows of a causal language model."""

    def __init__(self, module: "PreTrainedModel") -> None:
        from transformers import DynamicCache

        super().__init__(module)
        self.cache = DynamicCache(config=module.config)
        self.padding = Padding(module.device)

    def forward(self, pending: list[list[int]], visit: InPlaceVisit, last: int = 1) -> torch.Tensor:
        """See `interface.DecodePass.forward`."""
        with neuron_hooks(self.module, visit):
            return cached_step(self.module, self.cache, self.padding, pending, last)

    def keep(self, rows: list[int]) -> None:
        """See `interface.DecodePass.keep`."""
        lengths = self.padding.lengths
        if lengths is None or rows == list(range(len(lengths))):
            return
        index = torch.tensor(rows, device=lengths.device, dtype=torch.long)
        self.padding.keep(index)
        if rows:
            select_rows(self.cache, index)


def likeliest(logits: torch.Tensor) -> list[int]:
    """The first index of each row's greatest logit, [rows, vocabulary]."""
    return logits.max(dim=-1).indices.tolist()  # a quarter of argmax's time in bfloat16
