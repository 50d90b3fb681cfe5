"""Decoding without a cache: every step reads each row's whole text anew.

For models whose cache cannot follow rows that are dropped and doubled, or whose state is spoilt by padding before a
text (`caching.py`). Texts are padded behind their ends, where no token sees it; visits get them as they get those of
any other pass, ending together at the right.
"""

from functools import partial
from typing import TYPE_CHECKING

import torch

from explorer.engine.backends.at_right import AtRight
from explorer.engine.backends.forward_pass import ForwardPass
from explorer.engine.backends.interface import InPlaceVisit
from explorer.models.families import body_of
from explorer.models.hooks import neuron_hooks
from explorer.models.padding import padded

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class RecomputingPass(ForwardPass):
    """A batch of rows of a causal language model, by their texts."""

    def __init__(self, module: "PreTrainedModel", longest: int) -> None:
        """
        Args:
            module: the model.
            longest: no text will have more tokens; the width of what visits get, the same in every pass.
        """
        super().__init__(module)
        self._texts: list[list[int]] | None = None
        self._longest = longest

    def forward(self, pending: list[list[int]], visit: InPlaceVisit, last: int = 1) -> torch.Tensor:
        """See `interface.DecodePass.forward`."""
        before = self._texts or [[] for _ in pending]
        self._texts = [[*text, *new] for text, new in zip(before, pending, strict=True)]
        ids = padded(self._texts, self.module.device)
        rows = AtRight(list(map(len, self._texts)), max(self._longest, ids.shape[1]), ids.device)
        with neuron_hooks(self.module, partial(rows.show, visit)):
            hidden = body_of(self.module)(input_ids=ids, use_cache=False).last_hidden_state
        at = rows.lengths[:, None] - last + torch.arange(last, device=ids.device)
        picked: torch.Tensor = hidden[torch.arange(len(ids), device=hidden.device)[:, None], at.to(hidden.device)]
        return picked

    def keep(self, rows: list[int]) -> None:
        """See `interface.DecodePass.keep`."""
        if self._texts is not None:
            self._texts = [self._texts[row] for row in rows]
