"""Encoder–decoder models (T5, BART and their kind), through transformers' own forward.

The encoder reads the prompts in the first step; from then on only the decoder runs. Both are visited, the
encoder's layers first, so patching reaches whichever of them the chosen neurons lie in.
"""

from functools import partial
from typing import TYPE_CHECKING

import torch

from explorer.engine.backends.at_right import AtRight
from explorer.engine.backends.caching import select_rows
from explorer.engine.backends.forward_pass import ForwardPass, likeliest
from explorer.engine.backends.hooked import HookedBackend
from explorer.engine.backends.interface import DecodePass, InPlaceVisit
from explorer.engine.backends.unembedding import decoder_logits_of
from explorer.engine.reading import start_token
from explorer.models.families import family_of, with_cache
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
        if self.states is None:
            self._read_prompts(pending, visit)
            pending = [[start_token(self.module)]] * len(pending)
        decoder = self.module.get_decoder()
        with neuron_hooks(self.module, visit):
            out = decoder(
                input_ids=torch.tensor(pending, device=self.module.device),
                encoder_hidden_states=self.states,
                encoder_attention_mask=self.mask,
                use_cache=True,
                **with_cache(decoder, self.cache),
            )
        hidden: torch.Tensor = out.last_hidden_state[:, -last:]
        return hidden

    def greedy(self, hidden: torch.Tensor) -> list[int]:
        """See `interface.DecodePass.greedy`; some families add a bias of their own to what they unembed."""
        if not len(hidden):
            return []
        logits = self.module.get_output_embeddings()(hidden)
        bias = getattr(self.module, "final_logits_bias", None)
        return likeliest(logits if bias is None else logits + bias)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """See `interface.DecodePass.logits`."""
        return decoder_logits_of(self.module, hidden)

    def _read_prompts(self, prompts: list[list[int]], visit: InPlaceVisit) -> None:
        # Padded behind their ends: a learned position is counted from the beginning.
        ids, self.mask = padded(prompts, self.module.device), real_tokens(prompts, self.module.device)
        rows = AtRight(list(map(len, prompts)), ids.shape[1], ids.device)
        with neuron_hooks(self.module, partial(rows.show, visit)):
            out = self.module.get_encoder()(input_ids=ids, attention_mask=self.mask)
        self.states = out.last_hidden_state

    def keep(self, rows: list[int]) -> None:
        """See `interface.DecodePass.keep`."""
        if self.states is None or self.mask is None or rows == list(range(len(self.states))):
            return
        index = torch.tensor(rows, dtype=torch.long)
        self.states, self.mask = (part[index.to(part.device)] for part in (self.states, self.mask))
        if rows:
            for cache in (self.cache.self_attention_cache, self.cache.cross_attention_cache):
                select_rows(cache, index)
