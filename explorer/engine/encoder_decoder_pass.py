"""The decode loop of encoder–decoder models (T5, FLAN-T5): see `passes.Pass`.

The encoder reads the prompts in the first step; from then on only the decoder runs. Both are visited, the
encoder's layers first, so patching reaches whichever of them the chosen neurons lie in.
"""

from typing import TYPE_CHECKING, Any

import torch

from explorer.engine.passes import Padding, Visit, most_likely
from explorer.engine.reading import start_token
from explorer.models.hooks import neuron_hooks

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class EncoderDecoderPass:
    """A batch of rows of an encoder–decoder, by its own forward."""

    row_price = None

    def __init__(self, module: "PreTrainedModel") -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self.module: Any = module
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.states: torch.Tensor | None = None  # what the encoder made of the prompts, [rows, positions, hidden]
        self.mask: torch.Tensor | None = None  # int64 [rows, positions], 0 on padding

    def forward(self, pending: list[list[int]], visit: Visit, last: int = 1) -> torch.Tensor:
        """See `Pass.forward`; the first time, `pending` is what the encoder reads."""
        with neuron_hooks(self.module, visit):
            if self.states is None:
                padding = Padding(self.module.device)
                ids, _ = padding.advance(pending)
                self.mask = torch.ones_like(ids) if padding.mask is None else padding.mask
                self.states = self.module.encoder(input_ids=ids, attention_mask=self.mask).last_hidden_state
                pending = [[start_token(self.module)]] * len(pending)
            out = self.module.decoder(
                input_ids=torch.tensor(pending, device=self.module.device),
                encoder_hidden_states=self.states,
                encoder_attention_mask=self.mask,
                past_key_values=self.cache,
                use_cache=True,
            )
        return out.last_hidden_state[:, -last:]

    def greedy(self, hidden: torch.Tensor) -> list[int]:
        """See `Pass.greedy`."""
        return most_likely(self.module, hidden)

    def keep(self, rows: list[int]) -> None:
        """See `Pass.keep`."""
        if self.states is None or self.mask is None or rows == list(range(len(self.states))):
            return
        index = torch.tensor(rows, device=self.states.device, dtype=torch.long)
        self.states, self.mask = self.states[index], self.mask[index]
        if rows:
            self.cache.batch_select_indices(index)

    def forget(self, counts: list[int]) -> None:
        """See `Pass.forget`."""
        raise NotImplementedError
