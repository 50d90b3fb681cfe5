"""The refusal margin of patched M1 while parts of it stay M1's: by which paths does a patch act?

found = path_margins(pair, ids, margin, [KeptColumn(neurons, frozenset({"patterns"})), …])

With every choice of what stays M1's, `studies.path_parts` makes shares of it that add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from explorer.engine.keeping import KeepingRows, KeptColumn, check_kept
from explorer.engine.next_token import logits_at
from explorer.engine.reading import Inputs, TokenText, batches, inputs_of, parts
from explorer.engine.sane import not_finite
from explorer.engine.token_margin import TokenMargin
from explorer.errors import ExplorerError
from explorer.models.attention import attention_hooks
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair, scale_in_place
from explorer.progress import Progress

BATCH = 16
"""Prompts between two calls of a progress callback."""

READ_TOKENS = 1_024
"""Tokens of prompts that are read at once, about: all layers' activations of M2 are held for them."""

PASS_TOKENS = 8_192
"""Tokens of a pass of M1, about: of as many columns, or heads, as that makes."""


@dataclass(frozen=True)
class NumberedText(TokenText):
    """A prompt by its number."""

    number: int = 0


def path_margins(
    pair: Pair,
    prompts: Sequence[Sequence[int]],
    margin: TokenMargin,
    columns: Sequence[KeptColumn],
    progress: Progress | None = None,
) -> np.ndarray:
    """The margin at the position that predicts the answer's first token.

    Args:
        pair: the models.
        prompts: token ids of each prompt.
        margin: which tokens count.
        columns: what is patched from M2 into M1, and what stays M1's meanwhile.
        progress: progress callback, fraction of the prompts in [0, 1].

    Returns:
        float64 [2 + columns, prompts], in logits: of M1, of M2, then of each column.

    Raises:
        ExplorerError: the models are not decoders whose attention can be kept, or a margin is NaN or infinite.
    """
    check_kept(pair)
    found = np.zeros((2 + len(columns), len(prompts)))
    texts = [NumberedText(ids, number=number) for number, ids in enumerate(prompts)]
    rows = KeepingRows(pair, columns)
    for share, batch in batches(texts, BATCH):
        for part in parts(batch, READ_TOKENS):
            numbers = [text.number for text in part]
            with torch.inference_mode(), pair.lock:
                rows.guide, second = read_guide(pair, part, rows.used)
                found[1, numbers] = margin.of(second).double().cpu().numpy()
                for some in passes(len(columns), part):
                    rows.follow(len(part), [(column, own) for column in some for own in range(len(part))])
                    repeated = part * (1 + len(some))
                    inputs = inputs_of(pair.backbone1, repeated)
                    with neuron_hooks(pair.backbone1, rows.neurons), attention_hooks(pair.backbone1, rows):
                        first = logits_at(pair.backbone1, inputs, last_positions(inputs, repeated))
                    margins = margin.of(first).double().cpu().numpy().reshape(1 + len(some), len(part))
                    found[np.ix_([0, *(2 + column for column in some)], numbers)] = margins
        if progress:
            progress(share)
    if not np.isfinite(found).all():
        raise ExplorerError(not_finite("M1", None, pair.dtype))
    return found


def passes(count: int, batch: Sequence[TokenText]) -> list[range]:
    """So many columns in parts of which each, for all texts of a batch (the longest first), makes a pass."""
    together = max(1, PASS_TOKENS // (len(batch) * len(batch[0])))
    return [range(start, min(start + together, count)) for start in range(0, count, together)]


def read_guide(
    pair: Pair, batch: Sequence[TokenText], used: Sequence[bool]
) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
    """M2 reads some prompts: its activations in the used layers, by layer [texts, positions, n_neurons], and its logits
    after each prompt, float32 [texts, vocabulary]."""
    seen: dict[int, torch.Tensor] = {}

    def keep(layer: int, h: torch.Tensor) -> None:
        if pair.scale2 is not None:
            scale_in_place(h, pair.scale2[layer])
        if used[layer]:
            seen[layer] = h.clone()

    inputs = inputs_of(pair.backbone2, batch)
    with neuron_hooks(pair.backbone2, keep):
        logits = logits_at(pair.backbone2, inputs, last_positions(inputs, batch))
    return seen, logits


def last_positions(inputs: Inputs, batch: Sequence[TokenText]) -> torch.Tensor:
    """int64 [rows]: where each row's last token stands in the flattened [rows, positions]."""
    longest = inputs["input_ids"].shape[1]
    return torch.tensor([row * longest + len(text) - 1 for row, text in enumerate(batch)])
