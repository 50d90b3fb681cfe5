"""Encoder–decoder models (T5, FLAN-T5), through transformers' own forward.

The encoder reads the prompts in the first step; from then on only the decoder runs. Both are visited, the
encoder's layers first, so patching reaches whichever of them the chosen neurons lie in.
"""

from typing import TYPE_CHECKING

import torch

from explorer.engine.backends.hooked import ForwardPass, HookedBackend
from explorer.engine.backends.interface import DecodePass, InPlaceVisit
from explorer.engine.reading import start_token
from explorer.models.families import family_of
from explorer.models.hooks import neuron_hooks
from explorer.models.padding import padded, real_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class EncoderDecoderBackend(HookedBackend):
    """See `interface.Backend`; whole texts are read as those of any other model."""

    name = "encoder–decoder"

    def takes(self, module: "PreTrainedModel") -> bool:
        """See `interface.Backend.takes`."""
        return family_of(module).kind == "encoder-decoder"

    def begin(self, module: "PreTrainedModel", longest: int) -> DecodePass:
        """See `interface.Backend.begin`."""
        return EncoderDecoderPass(module)


class EncoderDecoderPass(ForwardPass):
    """A batch of rows of an encoder–decoder."""

    def __init__(self, module: "PreTrainedModel") -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        super().__init__(module)
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.states: torch.Tensor | None = None  # what the encoder made of the prompts, [rows, positions, hidden]
        self.mask: torch.Tensor | None = None  # int64 [rows, positions], 0 on padding

    def forward(self, pending: list[list[int]], visit: InPlaceVisit, last: int = 1) -> torch.Tensor:
        """See `interface.DecodePass.forward`; the first time, `pending` is what the encoder reads."""
        with neuron_hooks(self.module, visit):
            if self.states is None:
                ids = padded(pending, self.module.device, left=True)
                self.mask = real_tokens(pending, self.module.device, left=True)
                self.states = self.module.encoder(input_ids=ids, attention_mask=self.mask).last_hidden_state
                pending = [[start_token(self.module)]] * len(pending)
            out = self.module.decoder(
                input_ids=torch.tensor(pending, device=self.module.device),
                encoder_hidden_states=self.states,
                encoder_attention_mask=self.mask,
                past_key_values=self.cache,
                use_cache=True,
            )
        hidden: torch.Tensor = out.last_hidden_state[:, -last:]
        return hidden

    def keep(self, rows: list[int]) -> None:
        """See `interface.DecodePass.keep`."""
        if self.states is None or self.mask is None or rows == list(range(len(self.states))):
            return
        index = torch.tensor(rows, device=self.states.device, dtype=torch.long)
        self.states, self.mask = self.states[index], self.mask[index]
        if rows:
            self.cache.batch_select_indices(index)
