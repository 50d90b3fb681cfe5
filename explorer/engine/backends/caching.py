"""Whether a model can go on from its KV cache while rows of a batch are dropped and doubled.

A cache is right if its rows can be chosen in every layer, recurrent and convolutional states too, and if padding at the
left of shorter texts changes nothing. Families of the table are known to be so; of any other it is tried once, on
texts of unlike length, against reading the whole texts anew. Some (MBART's, Pegasus's and Marian's decoders by
themselves) count a token's position from what the cache holds, padding and all: with texts of one length, which
nothing pads, these are right, too, and go on from their cache there (`hooked.LevelPass`). What is not right by either
is read anew at every step (`recomputing.py`): slow, and exact.
"""

from typing import TYPE_CHECKING, Any

import torch

from explorer.engine.backends.padding import Padding
from explorer.models.checking import is_close
from explorer.models.families import body_of, is_known, with_cache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_UNLIKE, _LEVEL = (24, 9, 17), (13, 13, 13)
"""Lengths of the texts that are tried, in tokens."""

_KEPT = (2, 0, 0, 1)
"""The rows that go on after the first step: all moved, one doubled."""

_right: dict[tuple[type, str, str, tuple[int, ...]], bool] = {}
"""What has been tried, by the build of the model: the two models of a pair are decoded in one and the same form."""

_NOT_BUILD = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures")
"""Settings that say nothing of how a model computes; token ids are others."""


def caches_rows(module: "PreTrainedModel") -> bool:
    """Whether the rows of this model's cache can be chosen, and its texts be padded at the left."""
    return is_known(module) or _was_right(module, _UNLIKE)


def caches_level_rows(module: "PreTrainedModel") -> bool:
    """Whether the rows of this model's cache can be chosen while all are of one length, so that none is padded."""
    return is_known(module) or _was_right(module, _LEVEL)


def _was_right(module: "PreTrainedModel", lengths: tuple[int, ...]) -> bool:
    """What a trial with texts of these lengths says, or has said."""
    settings = module.config.to_dict().items()
    build = repr([(k, v) for k, v in settings if k not in _NOT_BUILD and not k.endswith("_token_id")])
    key = (type(module), build, str(module.dtype), lengths)
    if key not in _right:
        with torch.inference_mode():
            _right[key] = _is_right(module, lengths)
    return _right[key]


def select_rows(cache: Any, index: torch.Tensor) -> None:
    """Go on with these rows, int64 [kept], in every layer of a cache and in every kind of state, wherever it lies."""
    for layer in cache.layers:
        states = (*getattr(layer, "conv_states", {}).values(), *getattr(layer, "recurrent_states", {}).values())
        if states or not hasattr(layer, "batch_select_indices"):
            layer.reorder_cache(index)  # keys and values, too, where the layer has both; it moves the index itself
        else:
            keys = getattr(layer, "keys", None)
            layer.batch_select_indices(index if keys is None else index.to(keys.device))


def cached_step(
    module: "PreTrainedModel", cache: Any, padding: Padding, pending: list[list[int]], last: int = 1
) -> torch.Tensor:
    """Read each row's pending tokens behind what the cache holds; the hidden states of its last positions."""
    ids, positions = padding.advance(pending)
    body: Any = body_of(module)
    out = body(
        input_ids=ids,
        attention_mask=padding.mask,
        position_ids=positions,
        use_cache=True,
        **with_cache(body, cache),
    )
    hidden: torch.Tensor = out.last_hidden_state[:, -last:]
    return hidden


def _is_right(module: "PreTrainedModel", lengths: tuple[int, ...]) -> bool:
    """Texts of three lengths, of which rows are moved and doubled, read step by step and at once."""
    from transformers import DynamicCache

    size = min(200, int(module.config.get_text_config(decoder=True).vocab_size) - 3)
    texts = [[3 + (7 * row + 5 * place * place) % size for place in range(n)] for row, n in enumerate(lengths)]
    try:
        cache, padding = DynamicCache(config=module.config), Padding(module.device)
        got = [cached_step(module, cache, padding, texts)]
        for kept in (_KEPT, (3, 1, 0)):
            index = torch.tensor(kept, device=module.device)
            padding.keep(index)
            select_rows(cache, index)
            texts = [[*texts[row], 3 + (row + len(got)) % size] for row in kept]
            got.append(cached_step(module, cache, padding, [text[-1:] for text in texts]))
    except Exception:  # noqa: BLE001  whatever a family's own cache, mask or signature does not take
        return False
    body: Any = body_of(module)
    wanted = [body(input_ids=torch.tensor([text], device=module.device), use_cache=False) for text in texts]
    return is_close(got[-1][:, -1], torch.stack([out.last_hidden_state[0, -1] for out in wanted]))
