"""A prompt and an answer as a model reads them, whatever its architecture.

    inputs = inputs_of(model, [TokenText(prompt_ids, answer_ids)])
    read(model, inputs)

A decoder reads both as one text; an encoder–decoder reads the prompt with its encoder and the answer,
after a start token, with its decoder; an encoder reads the prompt alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from explorer.models.families import body_of, family_of
from explorer.models.padding import padded, real_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from explorer.models.pair import Pair

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TokenText:
    """Token ids of a prompt and of an answer to it, which may be empty."""

    prompt: Sequence[int]
    answer: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


AnyText = TypeVar("AnyText", bound=TokenText)


def batches(texts: Sequence[AnyText], size: int) -> Iterator[tuple[float, list[AnyText]]]:
    """Texts of like length together, longest first, with the share that is done after each batch."""
    order = longest_first(texts)
    for start in range(0, len(order), size):
        yield min(1.0, (start + size) / len(order)), order[start : start + size]


def longest_first(texts: Sequence[AnyText]) -> list[AnyText]:
    """Texts of like length beside each other: little of a batch is padding."""
    return sorted(texts, key=lambda text: -len(text))


def parts(batch: Sequence[AnyText], tokens: int) -> Iterator[list[AnyText]]:
    """Texts of `batches`, longest first, in even parts of about so many tokens when padded; at least one text each."""
    size = max(1, len(batch) // max(1, round(len(batch) * len(batch[0]) / tokens)))
    for start in range(0, len(batch), size):
        yield list(batch[start : start + size])


def inputs_of(model: "PreTrainedModel", texts: Sequence[TokenText]) -> Inputs:
    """What the model is called with to read a batch of texts, padded on the right.

    With causal attention no real token sees that padding; where attention goes both ways a mask hides it.
    """
    kind = family_of(model).kind
    if kind == "decoder":
        return {"input_ids": padded([[*t.prompt, *t.answer] for t in texts], model.device)}
    prompts = [t.prompt for t in texts]
    inputs = {
        "input_ids": padded(prompts, model.device),
        "attention_mask": real_tokens(prompts, model.device),
    }
    if kind == "encoder-decoder":
        start = start_token(model)
        inputs["decoder_input_ids"] = padded([[start, *t.answer] for t in texts], model.device)
    return inputs


def start_token(model: "PreTrainedModel") -> int:
    """The token that an encoder–decoder's answers begin with, as Hugging Face `generate` takes it."""
    for config in (model.generation_config, model.config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            token = getattr(config, name, None)
            if token is not None:
                return int(token)
    return int(model.config.pad_token_id or 0)


def read(model: "PreTrainedModel", inputs: Inputs) -> None:
    """Let a model read; whoever wants to see its neurons has hooked it."""
    options = {} if family_of(model).kind == "encoder" else {"use_cache": False}
    body_of(model)(**inputs, **options)


def compared_positions(positions: str, kind: str, prompt: int, answer: int) -> dict[str, range]:
    """Which positions of a text are compared, in each part of the model (see `options.COMPARED`).

    An encoder's neurons have no positions of the answer: all of the prompt, from which it is predicted, takes
    their place. A decoder beside an encoder has no positions of the prompt: its start token takes their place.

    Args:
        positions: one of `options.COMPARED`.
        kind: of the family.
        prompt, answer: tokens of each.
    """
    whole, last = range(prompt), range(prompt - 1, prompt)
    if kind == "decoder":
        choices = {
            "paper": range(prompt - 1, prompt + answer - 1),
            "shifted": range(prompt, prompt + answer),
            "prompt": whole,
            "last_prompt": last,
        }
        return {"decoder": choices[positions]}
    encoder = {"encoder": last if positions == "last_prompt" else whole}
    if kind == "encoder":
        return encoder
    start = range(1)
    written = {"paper": range(answer), "shifted": range(1, answer + 1), "prompt": start, "last_prompt": start}
    return encoder | {"decoder": written[positions]}


def positions_of_layers(pair: "Pair", inputs: Inputs, texts: Sequence[TokenText], positions: str) -> list[torch.Tensor]:
    """For each layer int64 [picked]: indices of the compared positions in its flattened activations.

    Args:
        pair: the models.
        inputs: of `inputs_of`, for these texts.
        texts: the batch.
        positions: one of `options.COMPARED`.
    """
    compared = [compared_positions(positions, pair.kind, len(t.prompt), len(t.answer)) for t in texts]
    picked: list[torch.Tensor] = []
    for part, layers in pair.parts.items():
        name = "decoder_input_ids" if part == "decoder" and pair.kind == "encoder-decoder" else "input_ids"
        index = _flat_positions([c[part] for c in compared], inputs[name].shape[1], pair.backbone1.device)
        picked += [index] * len(layers)
    return picked


def _flat_positions(ranges: Sequence[range], longest: int, device: torch.device) -> torch.Tensor:
    """int64 [picked]: indices of these positions of every row in a flattened [rows, longest]."""
    index = [row * longest + position for row, positions in enumerate(ranges) for position in positions]
    return torch.tensor(index, device=device, dtype=torch.long)
