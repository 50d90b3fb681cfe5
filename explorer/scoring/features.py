"""Frozen features of the embedded model: what the demo's score heads read."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from explorer.models import embedded
from explorer.models.pair import Pair, load_pair
from explorer.models.pair_file import EMBEDDED, ModelSpec, PairSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENS_READ = 64
"""How much of an answer is read, in tokens."""

LAYERS = (10, 16, 22, 30)
"""Hidden states after these many layers are read (30: the last one)."""

_before = "<|im_start|>assistant\n"
_models: "list[tuple[PreTrainedModel, PreTrainedTokenizerBase]]" = []


def feature_model(pair: Pair | None = None) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The embedded model without adapters, and its tokeniser.

    It shares the weights of `pair` where that is the embedded pair; else it is loaded once a process.

    Raises:
        ExplorerError: the embedded model is not installed.
    """
    name = EMBEDDED + embedded.NAME
    if pair is not None and pair.spec.m1 == ModelSpec(name):
        return pair.m1, pair.tokenizer
    if not _models:
        own = load_pair(PairSpec("features", ModelSpec(name), ModelSpec(name)))
        _models.append((own.m1, own.tokenizer))
    return _models[0]


def answer_features(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    batch_size: int = 32,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """float32 [n, len(LAYERS) × hidden]: hidden states, averaged over an answer's first `TOKENS_READ` tokens.

    The answer is read as an assistant's turn without a prompt; control tokens in it are plain text.
    """
    lead = tokenizer(_before, add_special_tokens=False)["input_ids"]
    bodies = [
        tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"][:TOKENS_READ] or lead[-1:]
        for text in texts
    ]
    order = sorted(range(len(bodies)), key=lambda i: len(bodies[i]))
    out = np.zeros((len(bodies), len(LAYERS) * model.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), batch_size):
        chunk = order[start : start + batch_size]
        out[chunk] = _read(model, lead, [bodies[i] for i in chunk])
        if progress:
            progress(min(1.0, (start + batch_size) / len(order)))
    return out


def _read(model: "PreTrainedModel", lead: list[int], bodies: list[list[int]]) -> np.ndarray:
    longest = max(map(len, bodies))
    ids = torch.tensor([lead + body + [0] * (longest - len(body)) for body in bodies], device=model.device)
    inside = torch.tensor([[0.0] * len(lead) + [1.0] * len(b) + [0.0] * (longest - len(b)) for b in bodies])
    weights = (inside / inside.sum(dim=1, keepdim=True)).to(model.device)
    with torch.inference_mode():
        states = model.base_model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
    pooled = [torch.einsum("rt,rth->rh", weights, states[layer].float()) for layer in LAYERS]
    return torch.cat(pooled, dim=1).cpu().numpy()
