"""Two passes that go on as one: rows of different lengths beside each other, the shorter ones behind padding.

A row's keys and values are copied as they are, to where all rows end at one position; what lies before them is masked.
Columns that are padding in every row are left behind: a batch that rows join and leave for hours does not grow.
"""

from collections.abc import Sequence

import torch

from explorer.engine.backends.fused import FusedPass
from explorer.engine.backends.hooked import HookedPass
from explorer.engine.backends.interface import DecodePass
from explorer.engine.backends.padding import Padding

Order = Sequence[tuple[int, int]]
"""For each row of the joined pass, of which of the two it is, and which row there."""


def can_join(passes: Sequence[DecodePass]) -> bool:
    """Whether other passes over the same models can be joined to these."""
    return all(isinstance(one, FusedPass) or (isinstance(one, HookedPass) and _is_plain(one)) for one in passes)


@torch.inference_mode()
def join_passes(one: DecodePass, other: DecodePass, order: Order) -> DecodePass:
    """A pass with rows of both, in this order; where one has read nothing, it has none of them.

    The two are used no more.
    """
    used = {which for which, _ in order}
    if len(used) < 2:
        alone = (one, other)[used.pop()] if used else one
        alone.keep([row for _, row in order])
        return alone
    if isinstance(one, FusedPass) and isinstance(other, FusedPass):
        return _join_fused((one, other), order)
    assert isinstance(one, HookedPass)
    assert isinstance(other, HookedPass)
    return _join_hooked((one, other), order)


class _Places:
    """Where the rows of two passes lie in the joined one.

    Attributes:
        width: positions of the joined pass.
        padding: of the joined pass.
    """

    def __init__(self, paddings: Sequence[Padding], widths: Sequence[int], order: Order) -> None:
        self._paddings, self._order = paddings, order
        device = paddings[0].device
        rows = [torch.tensor(self.rows(s), device=device, dtype=torch.long) for s in (0, 1)]
        masks = []
        for padding, width, index in zip(paddings, widths, rows, strict=True):
            assert padding.lengths is not None
            real = padding.mask
            masks.append(real[index] if real is not None else index.new_ones(len(index), width))
        self._starts = [int(mask.argmax(dim=1).min()) for mask in masks]  # the first position that is real in any row
        self._widths = [width - start for width, start in zip(widths, self._starts, strict=True)]
        self.width = max(self._widths)
        self.padding = Padding(device)
        mask = rows[0].new_zeros(len(order), self.width)
        lengths = rows[0].new_zeros(len(order))
        for s, index in enumerate(rows):
            places = torch.tensor(self.places(s), device=device, dtype=torch.long)
            mask[places, self.width - self._widths[s] :] = masks[s][:, self._starts[s] :]
            lengths[places] = paddings[s].lengths[index]  # type: ignore[index]
        self.padding.lengths, self.padding.mask = lengths, None if bool(mask.all()) else mask

    def rows(self, which: int) -> list[int]:
        """Those rows of a pass that go on."""
        return [row for s, row in self._order if s == which]

    def places(self, which: int) -> list[int]:
        """Where they lie in the joined pass."""
        return [place for place, (s, _) in enumerate(self._order) if s == which]

    def copy(self, which: int, source: torch.Tensor, target: torch.Tensor) -> None:
        """Copy what is kept of a pass's rows, both [rows, heads, positions, head_dim] with room for more positions."""
        index = torch.tensor(self.rows(which), device=source.device, dtype=torch.long)
        places = torch.tensor(self.places(which), device=source.device, dtype=torch.long)
        start, width = self._starts[which], self._widths[which]
        target[places, :, self.width - width : self.width] = source[index, :, start : start + width]
        if width < self.width:
            target[places, :, : self.width - width] = 0  # masked, but no NaN may lie there


def _join_fused(passes: Sequence[FusedPass], order: Order) -> FusedPass:
    places = _Places([one.padding for one in passes], [one.written for one in passes], order)
    left = max(one.longest - one.written for one in passes)
    joined = FusedPass(passes[0].module, passes[0].weights, places.width + left)
    caches = [one.cache for one in passes]
    assert caches[0] is not None
    assert caches[1] is not None
    layers, _, both, _, head_dim = caches[0].shape
    # Rows to spare, which cost nothing until they are written: texts will part from their guides.
    joined.cache = joined.new_cache(layers, len(order) * 3 // 2, both, joined.longest, head_dim)
    for which, cache in enumerate(caches):
        for layer in range(layers):
            places.copy(which, cache[layer], joined.cache[layer])  # type: ignore[index]
    joined.padding, joined.written, joined.rows = places.padding, places.width, len(order)
    return joined


def _join_hooked(passes: Sequence[HookedPass], order: Order) -> HookedPass:
    from transformers import DynamicCache

    def width(one: HookedPass) -> int:
        return int(one.cache.get_seq_length())

    places = _Places([one.padding for one in passes], [width(one) for one in passes], order)
    joined = HookedPass(passes[0].module)
    joined.cache = DynamicCache(config=passes[0].module.config)
    for number in range(len(passes[0].cache.layers)):
        halves = []
        for half in ("keys", "values"):
            sources = [getattr(one.cache.layers[number], half) for one in passes]
            _, heads, _, head_dim = sources[0].shape
            target = sources[0].new_zeros(len(order), heads, places.width, head_dim)
            for which, source in enumerate(sources):
                places.copy(which, source, target)
            halves.append(target)
        joined.cache.update(*halves, number)
    joined.padding = places.padding
    return joined


def _is_plain(one: HookedPass) -> bool:
    """Whether its cache keeps every position of every layer, and nothing else."""
    from transformers.cache_utils import DynamicLayer

    return all(type(layer) is DynamicLayer for layer in one.cache.layers)
