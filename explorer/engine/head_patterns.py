"""Where heads look: the attention from a prompt's last token in M1, patched M1 and M2."""

from collections.abc import Sequence

import numpy as np
import torch

from explorer.engine.keeping import KeepingRows, KeptColumn, check_kept
from explorer.engine.paths import read_guide
from explorer.engine.reading import TokenText, inputs_of, read
from explorer.models.attention import AttentionVisit, attention_hooks
from explorer.models.hooks import neuron_hooks
from explorer.models.pair import Pair, scale_in_place
from explorer.neurons.sets import NeuronSet

COLUMNS = ("unpatched", "patched", "aligned")


def head_patterns(
    pair: Pair, prompt: Sequence[int], ns: NeuronSet, heads: Sequence[tuple[int, int]]
) -> dict[str, np.ndarray]:
    """How much a prompt's last token attends to each token, for each of some heads.

    Args:
        pair: the models.
        prompt: its token ids.
        ns: the neurons that are patched.
        heads: layer and head of each.

    Returns:
        For each of `COLUMNS` float32 [heads, positions]; the weights of a head sum to 1.

    Raises:
        ExplorerError: the models are not decoders whose attention can be read.
    """
    check_kept(pair)
    batch = [TokenText(prompt)]
    rows = KeepingRows(pair, [KeptColumn(ns)])
    rows.follow(1, [(0, 0)])
    first, second = _LastQuery(), _LastQuery()

    def scale(layer: int, h: torch.Tensor) -> None:
        if pair.scale2 is not None:
            scale_in_place(h, pair.scale2[layer])

    with torch.inference_mode(), pair.lock:
        rows.guide, _ = read_guide(pair, batch, rows.used)
        with neuron_hooks(pair.backbone1, rows.neurons), attention_hooks(pair.backbone1, first):
            read(pair.backbone1, inputs_of(pair.backbone1, batch * 2))
        with neuron_hooks(pair.backbone2, scale), attention_hooks(pair.backbone2, second):
            read(pair.backbone2, inputs_of(pair.backbone2, batch))
    picked = [(first, 0), (first, 1), (second, 0)]
    return {
        name: np.stack([seen.weights_of[layer][row, head] for layer, head in heads])
        for name, (seen, row) in zip(COLUMNS, picked, strict=True)
    }


class _LastQuery(AttentionVisit):
    """Keeps each layer's attention from the last position: float32 [rows, heads, positions]."""

    def __init__(self) -> None:
        self.weights_of: list[np.ndarray] = []

    def weights(self, layer: int, weights: torch.Tensor) -> torch.Tensor:
        """See `AttentionVisit`."""
        self.weights_of.append(weights[:, :, -1].float().cpu().numpy())
        return weights
