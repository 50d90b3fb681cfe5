"""One module reading a batch of rows step by step, with its KV cache: what decoding is made of.

`HookedPass` goes through transformers' own forward and serves every family; `FusedPass`
(`fused_pass.py`) is the same computation written out for Llama-like models, several times faster.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import torch

from explorer.engine.reading import Inputs, read
from explorer.models.families import family_of
from explorer.models.hooks import neuron_hooks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Visit = Callable[[int, torch.Tensor], None]
"""Called with a layer and the neurons' activations [rows, positions, n_neurons] before `down_proj`; it may
change them in place."""


class Pass(Protocol):
    """A batch of rows that advance together, can be dropped and can be doubled."""

    @property
    def row_price(self) -> float | None:
        """What another row adds to the time of a step, as a share of a step without rows; None where tokens that were
        read cannot be taken back."""
        ...

    def forward(self, pending: list[list[int]], visit: Visit, last: int = 1) -> torch.Tensor:
        """Read each row's pending tokens; the final hidden states of its last positions, [rows, last, hidden]."""
        ...

    def greedy(self, hidden: torch.Tensor) -> list[int]:
        """The most likely next token of each row, from hidden states [rows, hidden]."""
        ...

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows, in this order; one that is named twice goes on twice."""
        ...

    def forget(self, counts: list[int]) -> None:
        """Take back the last tokens that each row has read, so many each; only where there is a `row_price`."""
        ...


def make_pass(module: "PreTrainedModel", longest: int) -> Pass:
    """The fastest pass that gives this module's own answers.

    Args:
        module: a causal language model.
        longest: no row will have more tokens than this.
    """
    from explorer.engine.fused_pass import FusedPass, fused_weights

    if family_of(module).kind == "encoder-decoder":
        from explorer.engine.encoder_decoder_pass import EncoderDecoderPass

        return EncoderDecoderPass(module)
    weights = fused_weights(module)
    return HookedPass(module) if weights is None else FusedPass(module, weights, longest)


def read_texts(module: "PreTrainedModel", inputs: Inputs, visit: Visit) -> None:
    """Visit the neurons of whole texts, in the fastest form that gives this module's own activations.

    Args:
        module: a model of a known family.
        inputs: what `reading.inputs_of` makes of texts.
        visit: see `Visit`.
    """
    from explorer.engine.fused_pass import fused_weights, read_fused

    weights = fused_weights(module)
    if weights is not None:
        read_fused(module, weights, inputs["input_ids"], visit)
        return
    with neuron_hooks(module, visit):
        read(module, inputs)


class Padding:
    """How the rows of a batch lie beside each other: real tokens at the right, padding at the left.

    Attributes:
        lengths: int64 [rows], real tokens so far; None before the first step.
        mask: int64 [rows, positions so far], 0 on padding and on what was taken back; None where all is real.
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
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in pending], device=self.device)
        if self.lengths is not None and longest == 1:  # every step but the first
            positions = self.lengths[:, None]
            fresh = torch.ones_like(ids)
        else:
            fresh = (torch.arange(longest, device=self.device) >= longest - count[:, None]).long()
            before = torch.zeros_like(count) if self.lengths is None else self.lengths
            positions = (before[:, None] + fresh.cumsum(dim=1) - 1).clamp(min=0)
        self.ragged = len({len(row) for row in pending}) > 1
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
        """Take back the last tokens of each row: what all rows take back is gone, the rest becomes padding."""
        assert self.lengths is not None
        count, least = torch.tensor(counts, device=self.device), min(counts)
        if self.mask is None and max(counts) > least:
            self.mask = count.new_ones(len(counts), int(self.lengths[0]))
        if self.mask is not None:
            positions = self.mask.shape[1]
            kept = torch.arange(positions, device=self.device) < positions - count[:, None]
            self.mask = (self.mask * kept)[:, : positions - least]
        self.lengths = self.lengths - count


class HookedPass:
    """Any causal language model of a known family, by its own forward."""

    row_price = None  # a cache may be a sliding window, where a gap counts as a position

    def __init__(self, module: "PreTrainedModel") -> None:
        from transformers import DynamicCache

        self.module = module
        self.cache = DynamicCache(config=module.config)
        self.padding = Padding(module.device)

    def forward(self, pending: list[list[int]], visit: Visit, last: int = 1) -> torch.Tensor:
        """See `Pass.forward`."""
        ids, positions = self.padding.advance(pending)
        with neuron_hooks(self.module, visit):
            out = self.module.base_model(
                input_ids=ids,
                attention_mask=self.padding.mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
            )
        return out.last_hidden_state[:, -last:]

    def greedy(self, hidden: torch.Tensor) -> list[int]:
        """See `Pass.greedy`."""
        return most_likely(self.module, hidden)

    def keep(self, rows: list[int]) -> None:
        """See `Pass.keep`."""
        lengths = self.padding.lengths
        if lengths is None or rows == list(range(len(lengths))):
            return
        index = torch.tensor(rows, device=lengths.device, dtype=torch.long)
        self.padding.keep(index)
        if rows:
            self.cache.batch_select_indices(index)

    def forget(self, counts: list[int]) -> None:
        """See `Pass.forget`."""
        raise NotImplementedError


def most_likely(module: "PreTrainedModel", hidden: torch.Tensor) -> list[int]:
    """The greedy token of each row, from final hidden states [rows, hidden]."""
    return likeliest(module.get_output_embeddings()(hidden)) if len(hidden) else []


def likeliest(logits: torch.Tensor) -> list[int]:
    """The first index of each row's greatest logit, [rows, vocabulary]."""
    return logits.max(dim=-1).indices.tolist()  # a quarter of argmax's time in bfloat16
