"""Patched rows in which a part of the model stays M1's: attention patterns, values, later MLPs, or several of them.

M1 itself reads the same texts in the same pass, so that what is kept of it is there at the moment when a patched row
needs it, computed by the same kernels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from explorer.models.attention import AttentionVisit, check_attention
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair, scale_in_place
from explorer.neurons.sets import NeuronSet

PATTERNS, VALUES, MLPS = "patterns", "values", "mlps"
PATHS = (PATTERNS, VALUES, MLPS)
"""What can stay M1's: the attention probabilities of every head (QK), the values that heads read (OV), the activations
of all neurons that are not patched. With the first two, whole attention outputs stay M1's; with all three nothing
reacts to the patch, and what is left is its direct effect."""


def check_kept(pair: Pair) -> None:
    """Raises:
    ExplorerError: the models are not decoders whose attention can be kept.
    """
    with pair.lock:
        check_attention(pair.backbone1)


@dataclass(frozen=True)
class KeptColumn:
    """M1 patched with a set while some of `PATHS` stay M1's."""

    neurons: NeuronSet
    kept: frozenset[str] = field(default_factory=frozenset)


class KeepingRows(AttentionVisit):
    """The rows of a pass of M1: first its own, unpatched, then patched ones, each of which keeps something of one.

    Attributes:
        guide: M2's activations by layer, [texts, positions, n_neurons], for the pass that is going on.
    """

    def __init__(self, pair: Pair, columns: Sequence[KeptColumn]) -> None:
        """
        Args:
            pair: the models.
            columns: what is patched, and kept.
        """
        self._pair, self._columns = pair, columns
        self._sets = list({id(c.neurons): c.neurons for c in columns}.values())
        devices = [layer.device for layer in neuron_layers(pair.backbone1)]
        self._chosen = [
            [torch.from_numpy(ns.neurons[ns.layers == layer]).to(device) for layer, device in enumerate(devices)]
            for ns in self._sets
        ]
        self.guide: dict[int, torch.Tensor] = {}
        self.used = [any(len(chosen[layer]) for chosen in self._chosen) for layer in range(pair.n_layers)]

    def follow(self, plain: int, rows: Sequence[tuple[int, int]]) -> None:
        """From now on a pass has so many rows of M1, then one for each of `rows`.

        Args:
            plain: rows of M1.
            rows: of each patched row its column, and which of M1's rows, and of M2's texts, is its own.
        """
        placed = [(plain + number, *row) for number, row in enumerate(rows)]
        self._kept = {
            path: _pairs([(at, own) for at, column, own in placed if path in self._columns[column].kept])
            for path in PATHS
        }
        self._patched = [
            _pairs([(at, own) for at, column, own in placed if self._columns[column].neurons is ns])
            for ns in self._sets
        ]

    def neurons(self, layer: int, h: torch.Tensor) -> None:
        """A visit for `neuron_hooks`: keep, then patch, in place."""
        if self._pair.scale1 is not None:
            scale_in_place(h, self._pair.scale1[layer])
        self._keep(MLPS, h)
        for chosen, (at, own) in zip(self._chosen, self._patched, strict=True):
            which = chosen[layer]
            if len(which) and len(at):
                rows, texts = at.to(h.device)[:, None], own.to(h.device)[:, None]
                h[rows, :, which] = self.guide[layer].to(h)[texts, :, which]

    def values(self, layer: int, values: torch.Tensor) -> torch.Tensor:
        """See `AttentionVisit`."""
        return self._keep(VALUES, values.clone()) if len(self._kept[VALUES][0]) else values

    def weights(self, layer: int, weights: torch.Tensor) -> torch.Tensor:
        """See `AttentionVisit`."""
        return self._keep(PATTERNS, weights)

    def _keep(self, path: str, rows: torch.Tensor) -> torch.Tensor:
        at, own = self._kept[path]
        if len(at):
            rows[at.to(rows.device)] = rows[own.to(rows.device)]
        return rows


def _pairs(pairs: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).unbind(dim=1)
    return first, second
