"""How much goes into one forward pass: what the device has room for, and half of it where even that was too much.

in_batches(prompts, size, answer, progress)      # answer(prompts[:size]), …; half as many after “out of memory”
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import psutil
import torch

from explorer.errors import ExplorerError
from explorer.models.pair import Pair
from explorer.progress import Progress

LOG = logging.getLogger(__name__)

SHARE = 0.5
"""Of the memory that is free, what the rows of a batch may take."""

ACTIVATIONS = 4
"""Times its neurons' activations: about what a token needs on the way through a layer, before it is let go."""

T = TypeVar("T")


def rows_with_room(pair: Pair, tokens: int) -> int:
    """How many rows of so many tokens fit beside a pair's weights, on the device with the least room; at least one.

    A row keeps keys and values of every layer, and needs the activations of one layer at a time.
    """
    row = tokens * (_cached_bytes(pair) + ACTIVATIONS * pair.n_neurons * pair.backbone1.dtype.itemsize)
    return max(1, int(SHARE * min(_free_bytes(torch.device(name)) for name in pair.devices) / row))


def _cached_bytes(pair: Pair) -> float:
    """Of the keys and values of a token, in all layers."""
    config = pair.backbone1.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 1
    try:
        own = getattr(config, "head_dim", None)
    except Exception:  # noqa: BLE001  Gemma 4's differs by layer, and asking for one raises
        own = None
    size = own or getattr(config, "hidden_size", pair.n_neurons) // heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    return float(2 * pair.n_layers * kept * size * pair.backbone1.dtype.itemsize)


def _free_bytes(device: torch.device) -> float:
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + held)
    return float(psutil.virtual_memory().available)


def in_batches(
    items: Sequence[T], size: int, work: Callable[[Sequence[T]], None], progress: Progress | None = None
) -> None:
    """Do some work for all items, so many at once; where the device runs out of memory, half as many from then on.

    Args:
        items: what it is done for.
        size: how many at once.
        work: begins anew where it is called again for the same items.
        progress: progress callback, fraction of the items in [0, 1].

    Raises:
        ExplorerError: the device has no room for one.
    """
    start = 0
    while start < len(items):
        some = items[start : start + size]
        try:
            work(some)
        except torch.OutOfMemoryError as problem:
            if len(some) == 1:
                raise ExplorerError(
                    "The device has no room for one text beside the models; use shorter answers, fewer columns, a "
                    "smaller dtype or quantisation."
                ) from problem
            size = len(some) // 2
            LOG.warning("The device ran out of memory with %d texts at once; going on with %d.", len(some), size)
            torch.cuda.empty_cache()
            continue
        start += len(some)
        if progress:
            progress(min(1.0, start / len(items)))
