"""What new positions may see of a cache, as attention takes it: 0 there, −∞ elsewhere; None for all before them.

Masks are made on the processor from the few numbers that they depend on, and sent to the device in one piece: a device
that computes them waits for every small kernel.
"""

from collections.abc import Iterable, Mapping

import torch

from explorer.engine.backends.fused_blocks import FEW

Masks = Mapping[int | None, torch.Tensor | None]
"""For each window (None: all positions) a mask [rows or 1, 1, new, positions]. Where more than one but at most `FEW`
positions are new, each of them stands there as often as a KV head has query heads."""


def cache_masks(
    real: torch.Tensor | None,
    positions: int,
    new: int,
    windows: Iterable[int | None],
    groups: int,
    *,
    always: bool = False,
    room: int = 0,
) -> dict[int | None, torch.Tensor | None]:
    """Bool masks of the new positions of a batch over its cache, True where they see; None where that is all.

    Args:
        real: int64 [rows, positions], 0 on padding and on what was rolled back; None where all is real.
        positions: of the cache, with the new ones.
        new: how many of them, the last ones, are new in each row.
        windows: of the layers.
        groups: query heads of a KV head.
        always: whether there is a mask even where all before is seen.
        room: positions of the mask, if more than there are; those are not seen.
    """
    visible = None if real is None else real.bool()[:, None, None, :]
    if visible is None and always:
        visible = torch.ones(1, 1, 1, positions, dtype=torch.bool)
    if new > 1 and (positions > new or visible is not None):
        causal = torch.ones(new, positions, dtype=torch.bool).tril(positions - new)
        # A padded position sees itself, so that no row of the softmax is empty.
        own = causal & torch.ones(new, positions, dtype=torch.bool).triu(positions - new)
        visible = causal[None, None] if visible is None else (visible & causal) | own
    return {window: _within(visible, real, positions, new, window, groups, room) for window in windows}


def _within(
    visible: torch.Tensor | None,
    real: torch.Tensor | None,
    positions: int,
    new: int,
    window: int | None,
    groups: int,
    room: int,
) -> torch.Tensor | None:
    """The same for one window."""
    if window is not None and positions > window:
        place = torch.arange(positions)[None] if real is None else real.cumsum(dim=1)  # gaps are no positions
        near = place[:, -new:, None] - place[:, None, :] < window
        causal = torch.ones(new, positions, dtype=torch.bool).tril(positions - new)
        visible = near[:, None] & (causal if visible is None else visible)
    if visible is None:
        return None
    if 1 < new <= FEW:
        visible = visible.expand(-1, -1, new, -1).repeat(1, 1, groups, 1)
    if room > positions:
        visible = torch.nn.functional.pad(visible, (0, room - positions))
    return visible


def reading_mask(positions: int, window: int | None, needed: bool, like: torch.Tensor) -> torch.Tensor | None:
    """The mask of whole texts, [1, 1, positions, positions]; None where all before a position is seen.

    Args:
        positions: of the texts.
        window: of the layer.
        needed: whether there is a mask even then.
        like: of the type and on the device that the mask is to have.
    """
    if not needed and (window is None or positions <= window):
        return None
    causal = torch.ones(positions, positions, dtype=torch.bool).tril()
    if window is not None:
        causal = causal.triu(1 - window)
    return additive(causal[None, None], like)


def additive(visible: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """0 where True, −∞ elsewhere, in the type and on the device of another tensor."""
    mask = torch.zeros(visible.shape, dtype=like.dtype).masked_fill_(~visible, float("-inf"))
    return mask.to(like.device, non_blocking=True)
