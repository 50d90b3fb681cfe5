"""Hold a model to its base on text that has nothing to do with the preference: KL(base || trained) beside the loss.

What a preference needs is a small part of what its training moves; on a small model the rest shows as perplexity. The
KL takes back what plain text does not agree to, and leaves what only the preference's prompts see.
"""

from collections.abc import Sequence
from typing import Any

import torch

from explorer.data.preferences import load_preferences
from explorer.errors import ExplorerError
from explorer.models.prompting import encode_text
from explorer.training.config import PairSource

WINDOW = 96
"""Tokens of a stretch of text."""


def windows_of(sources: Sequence[PairSource], tokenizer: Any) -> torch.Tensor:
    """The dialogues of preference files with their chosen answers, as plain text in windows of `WINDOW` tokens.

    Args:
        sources: the files, with their kinds; `skip` and `limit` count dialogues.
        tokenizer: of the model.

    Returns:
        Token ids `[windows, WINDOW]`, the beginning of each dialogue that is long enough, the sources taking turns.

    Raises:
        ExplorerError: a file cannot be read, or no dialogue is long enough.
    """
    columns = []
    for source in sources:
        pairs = load_preferences(source.file, source.kind)[source.skip :]
        texts = ("\n\n".join([*(text for _, text in p.turns), p.chosen]) for p in pairs)
        ids = (encode_text(tokenizer, text)[:WINDOW] for text in texts)
        columns.append([row for row in ids if len(row) == WINDOW][: source.limit or None])
    turns = max(map(len, columns))
    if not turns:
        raise ExplorerError(f"The text to keep has no dialogue of {WINDOW} tokens; name longer ones.")
    rows = [column[i % len(column)] for i in range(turns) for column in columns if column]
    return torch.tensor(rows)


def keeping(trainer: type, windows: torch.Tensor, batch: int, weight: float) -> type:
    """A trl trainer class that adds to each step's gradient that of `weight * KL(base || trained)` on plain text.

    Args:
        trainer: SFTTrainer, DPOTrainer or a class of theirs; its model is a PEFT model.
        windows: token ids `[windows, tokens]`; step i reads the i-th `batch` of them, so that a resumed run goes on
            in order.
        batch: windows a step.
        weight: of the divergence, in nats a token.
    """

    class Keeping(trainer):
        def training_step(self, model, *args, **options):
            loss = super().training_step(model, *args, **options)
            if self.accelerator.sync_gradients:  # once a step, however many micro-batches that has
                first = self.state.global_step * batch
                rows = [(first + i) % len(windows) for i in range(batch)]
                divergence = kl_from_base(model, windows[rows].to(loss.device))
                (weight * divergence).backward()
                self._metrics["train"]["kept_kl"].append(divergence.item())
            return loss

    return Keeping


def kl_from_base(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """KL(base || model) on stretches of text, in nats a token; the base is the model without its adapter.

    Args:
        model: a PEFT model.
        ids: token ids `[batch, tokens]`.
    """
    with torch.no_grad(), model.disable_adapter():
        base = torch.log_softmax(model(ids).logits.float(), dim=-1).flatten(0, 1)
    trained = torch.log_softmax(model(ids).logits.float(), dim=-1).flatten(0, 1)
    return torch.nn.functional.kl_div(trained, base, log_target=True, reduction="batchmean")
