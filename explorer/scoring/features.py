"""Frozen features of the embedded model: what the demo's score heads read."""

import copy
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from explorer.models import embedded
from explorer.models.families import with_cache
from explorer.models.padding import padded
from explorer.models.pair import Pair, load_pair
from explorer.models.pair_file import EMBEDDED
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.models.prompting import encode_plain
from explorer.progress import Progress

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

PROMPT_TOKENS_READ = 96
"""How much of a prompt is read, in tokens."""

LAYERS = (6, 10, 14, 18, 22)
"""Hidden states after these many of the 30 layers are read; the model is not run beyond the last one wanted."""

POOLS = ("mean", "last")
"""Over the answer's tokens that are read: their mean, and the last of them, which has seen all others."""

SHARE_FROM = 4
"""From so many answers to one prompt on, and for as long a prompt, the prompt is read once."""

REMEMBERED = 1024
"""The features of the answers read last are kept, if they are no more: cost and reward read the same."""

_recent: list[tuple[Any, np.ndarray]] = []
_models: "list[tuple[PreTrainedModel, PreTrainedTokenizerBase]]" = []
_loading = threading.Lock()
_one_at_a_time = threading.Lock()
"""Held while features are read: what was read last is shared, and a hook on a module is seen by every thread."""


@dataclass(frozen=True)
class Reading:
    """What of an answer becomes features.

    Attributes:
        layers: hidden states after so many layers.
        pools: of `POOLS`.
        prompt: whether the prompt is read before the answer; else the answer stands alone.
        tokens: so many tokens of the answer are read.
    """

    layers: tuple[int, ...] = LAYERS
    pools: tuple[str, ...] = POOLS
    prompt: bool = True
    tokens: int = 64


def feature_model(pair: Pair | None = None) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The embedded model without adapters, and its tokeniser.

    It shares the weights of `pair` where that is the embedded pair; else it is loaded once a process.

    Raises:
        ExplorerError: the embedded model is not installed.
    """
    name = EMBEDDED + embedded.NAME
    if pair is not None and pair.spec.m1 == ModelSpec(name):
        return pair.m1, pair.tokenizer
    with _loading:  # two threads would load it twice
        if not _models:
            own = load_pair(PairSpec("features", ModelSpec(name), ModelSpec(name)))
            _models.append((own.m1, own.tokenizer))
        return _models[0]


def answer_features(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    texts: Sequence[str],
    reading: Reading,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> np.ndarray:
    """float32 [n, layers, pools, hidden]: hidden states over the beginning of each answer.

    An empty prompt is left out, as it is when the reading says so. Control tokens in a person's text are plain text.
    Threads that ask at once are answered one after the other.
    """
    # A pair's `m1` has modules of its own over the weights: the engine's hooks are not on them, nor these on its.
    with _one_at_a_time:
        return _answer_features(model, tokenizer, prompts, texts, reading, batch_size, progress)


def _answer_features(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    texts: Sequence[str],
    reading: Reading,
    batch_size: int,
    progress: Progress | None,
) -> np.ndarray:
    """See `answer_features`; one thread at a time."""
    rows = [
        _tokens(tokenizer, p if reading.prompt else "", t, reading.tokens) for p, t in zip(prompts, texts, strict=True)
    ]
    at = [POOLS.index(pool) for pool in reading.pools]
    key = (weakref.ref(model), reading.layers, rows)
    if _recent and _recent[0][0] == key:  # the other head has just read the same answers
        return _recent[0][1][:, :, at]
    out = np.zeros((len(rows), len(reading.layers), len(POOLS), model.config.hidden_size), dtype=np.float32)
    done = 0
    for chunk, shared in _batches(rows, batch_size):
        out[chunk] = _read(model, [rows[i] for i in chunk], reading.layers, shared)
        done += len(chunk)
        if progress:
            progress(done / len(rows))
    _recent[:] = [(key, out)] if len(rows) <= REMEMBERED else []
    return out[:, :, at]


def _batches(rows: list[tuple[list[int], list[int]]], size: int) -> Iterator[tuple[list[int], bool]]:
    """Which rows are read together, and whether they share what comes before the answer, so that it is read once."""
    by_lead: dict[tuple[int, ...], list[int]] = {}
    for i, (lead, _) in enumerate(rows):
        by_lead.setdefault(tuple(lead), []).append(i)
    single: list[int] = []
    for start, same in by_lead.items():
        if len(same) < SHARE_FROM or len(start) < SHARE_FROM:
            single += same
            continue
        same.sort(key=lambda i: len(rows[i][1]))
        yield from ((same[at : at + size], True) for at in range(0, len(same), size))
    single.sort(key=lambda i: len(rows[i][0]) + len(rows[i][1]))
    yield from ((single[at : at + size], False) for at in range(0, len(single), size))


def _tokens(tokenizer: "PreTrainedTokenizerBase", prompt: str, text: str, limit: int) -> tuple[list[int], list[int]]:
    """What comes before an answer, and its beginning."""

    def control(part: str) -> list[int]:
        return list(tokenizer(part, add_special_tokens=False)["input_ids"])

    lead: list[int] = []
    if prompt.strip():
        asked = encode_plain(tokenizer, prompt.strip())[:PROMPT_TOKENS_READ]
        lead = [*control("<|im_start|>user\n"), *asked, *control("<|im_end|>\n")]
    lead += control("<|im_start|>assistant\n")
    body = encode_plain(tokenizer, text.strip())[:limit]
    return (lead, body) if body else (lead[:-1], lead[-1:])


def _read(
    model: "PreTrainedModel", rows: list[tuple[list[int], list[int]]], layers: Sequence[int], shared: bool
) -> np.ndarray:
    """Right-padded: with causal attention no real token sees the padding."""
    cache = _read_lead(model, rows[0][0], len(rows), max(layers)) if shared else None
    rows = [([], body) for _, body in rows] if shared else rows
    ids = padded([lead + body for lead, body in rows], model.device)
    weights = {pool: torch.zeros(ids.shape) for pool in POOLS}
    for i, (lead, body) in enumerate(rows):
        end = len(lead) + len(body)
        weights["mean"][i, len(lead) : end] = 1 / len(body)
        weights["last"][i, end - 1] = 1
    over = torch.stack([weights[pool] for pool in POOLS]).to(model.device)
    states = _states_after(model, ids, layers, cache)
    pooled = [torch.einsum("prt,rth->rph", over, states[layer].float()) for layer in layers]
    return torch.stack(pooled, dim=1).cpu().numpy()


def _read_lead(model: "PreTrainedModel", lead: list[int], rows: int, layer: int) -> "Cache":
    """The model's cache after the words that so many rows begin with."""
    from transformers import DynamicCache

    cache = DynamicCache()
    _states_after(model, torch.tensor([lead], device=model.device), [layer], cache)
    cache.batch_repeat_interleave(rows)
    return cache


def _first_layers(model: "PreTrainedModel", count: int) -> Any:
    """The model's body with its first layers alone, over the same weights; the model stays as it is."""
    body: Any = copy.copy(model.base_model)
    body._modules = dict(body._modules)
    body.layers = nn.ModuleList(body.layers[:count])
    return body


def _states_after(
    model: "PreTrainedModel", ids: torch.Tensor, layers: Sequence[int], cache: "Cache | None" = None
) -> dict[int, torch.Tensor]:
    """Hidden states [rows, positions, hidden] after so many layers, by that number."""
    states: dict[int, torch.Tensor] = {}

    def keep(number: int) -> Callable:
        def hook(_module, _inputs, output):
            states[number] = output[0] if isinstance(output, tuple) else output

        return hook

    body = _first_layers(model, max(layers))
    handles = [body.layers[number - 1].register_forward_hook(keep(number)) for number in layers]
    try:
        with torch.inference_mode():
            body(input_ids=ids, use_cache=cache is not None, **with_cache(body, cache))
    finally:
        for handle in handles:
            handle.remove()
    return states
