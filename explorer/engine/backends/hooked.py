"""Any model of a known family, through transformers' own forward and hooks on its neurons."""

from typing import TYPE_CHECKING

import torch

from explorer.engine.backends.caching import cached_step, caches_level_rows, caches_rows, select_rows
from explorer.engine.backends.forward_pass import ForwardPass
from explorer.engine.backends.interface import DecodePass, InPlaceVisit
from explorer.engine.backends.padding import Padding
from explorer.engine.backends.recomputing import RecomputingPass
from explorer.engine.reading import Inputs, read
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
        if caches_rows(module):
            return HookedPass(module)
        return (LevelPass if caches_level_rows(module) else RecomputingPass)(module, longest)

    def read(self, module: "PreTrainedModel", inputs: Inputs, visit: InPlaceVisit) -> None:
        """See `interface.Backend.read`."""
        with neuron_hooks(module, visit):
            read(module, inputs)


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


class LevelPass(ForwardPass):
    """A batch of rows of a causal language model whose cache is right only while all rows are of one length.

    One prompt with all its columns is so from its first step to its last, and so are prompts that happen to be of one
    length. Others are read anew at every step.
    """

    def __init__(self, module: "PreTrainedModel", longest: int) -> None:
        """
        Args:
            module: the model.
            longest: no text will have more tokens.
        """
        super().__init__(module)
        self._longest = longest
        self._rows: HookedPass | RecomputingPass | None = None

    def forward(self, pending: list[list[int]], visit: InPlaceVisit, last: int = 1) -> torch.Tensor:
        """See `interface.DecodePass.forward`; the first time, it is decided how the rows are read."""
        if self._rows is None:
            level = len({len(ids) for ids in pending}) == 1
            self._rows = HookedPass(self.module) if level else RecomputingPass(self.module, self._longest)
        return self._rows.forward(pending, visit, last)

    def keep(self, rows: list[int]) -> None:
        """See `interface.DecodePass.keep`."""
        if self._rows is not None:
            self._rows.keep(rows)
