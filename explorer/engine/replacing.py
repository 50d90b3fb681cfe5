"""The patch itself: M2's activations in the place of M1's, in the rows of a decoding batch."""

from collections.abc import Sequence

import torch

from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair
from explorer.neurons.patch import Patch


class Replacing:
    """What is replaced in each patched row of a batch.

    Attributes:
        used: for each layer, whether any patch reaches neurons of it.
        reach: so many of a prompt's last tokens must be told from those before them; at least the last one.
    """

    def __init__(self, patches: Sequence[Patch], pair: Pair) -> None:
        """
        Args:
            patches: one for each patched column.
            pair: the models.
        """
        self.patches = patches
        self._masks = _layer_masks(patches, pair)
        self.used = [bool(mask.any()) for mask in self._masks]
        self.reach = reach_of(patches)
        self._columns: list[int] = []
        self._chosen: list[torch.Tensor] = []  # bool [rows, 1, n_neurons] for each layer
        self._strengths: torch.Tensor | None = None  # float32 [rows, 1, 1]; None where all are 1
        self._spans: list[tuple[float, float]] = []  # of each row; empty where all are patched everywhere
        self._read: Sequence[int] = []
        self._known: dict[int, torch.Tensor | bool] = {}

    def follow(self, columns: list[int]) -> None:
        """From now on the patched rows are of these columns."""
        if columns == self._columns:
            return
        self._columns = columns
        which = torch.tensor(columns, dtype=torch.long)
        self._chosen = [mask[which.to(mask.device)].unsqueeze(1) for mask in self._masks] if columns else []
        patches = [self.patches[column] for column in columns]
        strengths = [patch.strength for patch in patches]
        self._strengths = None
        if not set(strengths) <= {1.0}:
            self._strengths = torch.tensor(strengths, device=self._masks[0].device)[:, None, None]
        self._spans = [] if all(patch.positions == "all" for patch in patches) else [patch.span for patch in patches]

    @property
    def moves(self) -> bool:
        """Whether other positions are patched from one step to the next."""
        return bool(self._spans)

    def begin(self, read: Sequence[int]) -> None:
        """A forward pass begins, by whose end each patched row will have read so many tokens behind its prompt.

        Where prompts are read in two parts, the first part ends with −`reach`, for it is none of these last tokens.
        """
        self._read, self._known = read, {}

    def into(self, own: torch.Tensor, guide: torch.Tensor, layer: int) -> None:
        """Put M2's activations into M1's, both [rows, positions, n_neurons] of a layer, new tokens at the right."""
        where = self._where(own.shape[1], own.device)
        if where is False:
            return
        chosen = self._chosen[layer]
        if isinstance(where, torch.Tensor):
            chosen = chosen & where
        if self._strengths is not None:
            # In float32 also where the models are not; exactly the guide at strength 1.
            guide = torch.lerp(own.float(), guide.float(), self._strengths.to(own.device)).to(own.dtype)
        torch.where(chosen, guide, own, out=own)

    def _where(self, width: int, device: torch.device) -> torch.Tensor | bool:
        """Which of each row's last positions are patched, bool [rows, width, 1]; True for all of them, False for none.

        An encoder's positions end where its decoder's first, the start token, does: both with the prompt.
        """
        if not self._spans:
            return True
        if width not in self._known:
            place = range(-width, 0)
            rows = [
                [start <= end + p < stop for p in place]
                for (start, stop), end in zip(self._spans, self._read, strict=True)
            ]
            found = {patched for row in rows for patched in row}
            self._known[width] = found.pop() if len(found) == 1 else torch.tensor(rows, device=device)[:, :, None]
        known = self._known[width]
        return known.to(device) if isinstance(known, torch.Tensor) else known


def reach_of(patches: Sequence[Patch]) -> int:
    """How many of a prompt's last tokens any of these patches tells from those before them; at least the last one."""
    return max([1, *(patch.reach for patch in patches)])


def _layer_masks(patches: Sequence[Patch], pair: Pair) -> list[torch.Tensor]:
    """bool [patches, n_neurons] for each layer, on the device where that layer of M1 is."""
    if not patches:
        return [torch.zeros(0, pair.n_neurons, dtype=torch.bool) for _ in range(pair.n_layers)]
    stacked = torch.stack([torch.from_numpy(patch.neurons.mask()) for patch in patches])
    return [stacked[:, i].to(layer.device) for i, layer in enumerate(neuron_layers(pair.backbone1))]
