"""Direct logit attribution: what neurons, and all else, add to the refusal margin at the first token of an answer.

found = attribute_margin(pair, prompts, margin, [top, random])
found.total                       # patched M1's margin − M1's
found.direct                      # what the patched neurons' own changes write straight to the logits, by layer

The residual stream is a sum of what attention and MLPs write, so its change from M1 is a sum of their changes. Read by
the unembedding with the final norm's scale held at the *patched* pass, each is a change of the margin (Elhage et al.,
2021). What is left of the whole is the change of that scale: with it the parts add up to the whole exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from explorer.engine.reading import TokenText, batches, inputs_of, positions_of_layers
from explorer.engine.readout import Readout
from explorer.engine.residuals import BATCH, Reader, readers
from explorer.engine.sane import not_finite
from explorer.engine.token_margin import TokenMargin
from explorer.engine.writing import AFTER_MLP, DirectPath, contributions
from explorer.errors import ExplorerError
from explorer.models.families import family_of, find
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair
from explorer.neurons.sets import NeuronSet

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class MarginParts:
    """What the change of the margin from M1's consists of, in logits. Rows: each set patched into M1, then M2.

    total = Σ over layers of (direct + neurons + attention) + embedding + readout

    Attributes:
        before: float64 [prompts], M1's margin.
        total: float64 [sets + 1, prompts], by how much the row's margin is higher.
        direct: float64 [sets + 1, layers, prompts], what the patched neurons' changes write; of M2, what all neurons'
            do. A norm of the MLP's output (Gemma 2 and 3, OLMo 2) is held at the row's own scale.
        neurons: of the same shape, what the other neurons of the layer write, and what the MLP's norm divides by.
        attention: of the same shape, what attention writes.
        embedding: float64 [sets + 1, prompts], of the first layer's input; 0 where M1 and M2 share weights.
        readout: of the same shape, the change of the final norm's scale, and of the unembedding's weights.
        by_neuron: of each set float32 [neurons, prompts], the terms of `direct`.
        change: of each set float32 [neurons, prompts], by how much each activation differs from M1's.
        layers: the decoder's.
    """

    before: np.ndarray
    total: np.ndarray
    direct: np.ndarray
    neurons: np.ndarray
    attention: np.ndarray
    embedding: np.ndarray
    readout: np.ndarray
    by_neuron: list[np.ndarray]
    change: list[np.ndarray]
    layers: range


def attribute_margin(
    pair: Pair, prompts: Sequence[Sequence[int]], margin: TokenMargin, sets: Sequence[NeuronSet]
) -> MarginParts:
    """Split what patching each set, and being M2, changes of the margin at the position of an answer's first token.

    Args:
        pair: the models; M2's activations are patched into M1 at all positions of a prompt.
        prompts: token ids of each prompt.
        margin: which tokens count.
        sets: what is patched. Neurons of an encoder write nothing to the logits directly.

    Raises:
        ExplorerError: the models write no text, norm the residual stream itself, or a number is NaN or infinite.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier without an unembedding, so its neurons write no words.")
    layers, rows, n = pair.parts["decoder"], len(sets) + 1, len(prompts)
    by_layer = (rows, len(layers), n)
    found = MarginParts(
        before=np.zeros(n),
        total=np.zeros((rows, n)),
        direct=np.zeros(by_layer),
        neurons=np.zeros(by_layer),
        attention=np.zeros(by_layer),
        embedding=np.zeros((rows, n)),
        readout=np.zeros((rows, n)),
        by_neuron=[np.zeros((len(ns), n), np.float32) for ns in sets],
        change=[np.zeros((len(ns), n), np.float32) for ns in sets],
        layers=layers,
    )
    reading = _Reading(pair, margin, sets, found)
    for _, batch in batches([_Numbered(ids, (), number) for number, ids in enumerate(prompts)], BATCH):
        with torch.inference_mode(), pair.lock:
            reading.add(batch)
    if not all(np.isfinite(part).all() for part in (found.total, found.direct, found.attention)):
        raise ExplorerError(not_finite("M1", None, pair.dtype))
    return found


@dataclass(frozen=True)
class _Numbered(TokenText):
    """A prompt by its number."""

    number: int = 0


@dataclass(frozen=True)
class _Seen:
    """What one model did at the position where the first token is chosen.

    Attributes:
        residual: float32 [layers + 1, prompts, hidden].
        neurons: for each layer of the decoder [prompts, n_neurons].
        written: float32 [layers, prompts, hidden], what the MLPs add to the residual stream.
    """

    residual: torch.Tensor
    neurons: list[torch.Tensor]
    written: torch.Tensor


class _Reading:
    """Batch after batch, put into the parts."""

    def __init__(self, pair: Pair, margin: TokenMargin, sets: Sequence[NeuronSet], found: MarginParts) -> None:
        self._pair, self._sets, self._found = pair, sets, found
        self._readouts = [Readout(pair.backbone1, margin), Readout(pair.backbone2, margin)]
        self._path = DirectPath(pair.backbone1)
        unembedding: Any = pair.backbone1.get_output_embeddings()
        self._rows = margin.direction(unembedding.weight)

    def add(self, batch: Sequence[_Numbered]) -> None:
        """Read some prompts by all models."""
        inputs = inputs_of(self._pair.backbone1, batch)
        at = positions_of_layers(self._pair, inputs, batch, "last_prompt")[-1]
        numbers = [text.number for text in batch]
        second: _Seen | None = None
        first: _Seen | None = None
        for reader in readers(self._pair, self._sets):
            if reader.row > len(self._sets):
                second = self._look(reader, inputs, at)
            elif reader.row == 0:
                first = self._look(reader, inputs, at)
                self._found.before[numbers] = self._readouts[0].margins(first.residual[-1]).cpu().numpy()
            else:
                with self._path.watched(at):
                    seen = self._look(reader, inputs, at)
                assert first is not None
                self._neurons(reader.row - 1, numbers, first, seen)
                self._split(reader.row - 1, numbers, first, seen, self._readouts[0])
        assert first is not None
        assert second is not None
        self._split(len(self._sets), numbers, first, second, self._readouts[1])

    def _look(self, reader: Reader, inputs: dict[str, torch.Tensor], at: torch.Tensor) -> _Seen:
        """Let a model read a batch, to its logits: `DirectPath` watches them, too."""
        residual: list[torch.Tensor] = []
        neurons: dict[int, torch.Tensor] = {}

        def see(layer: int, h: torch.Tensor) -> None:
            if layer in self._found.layers:
                neurons[layer] = h.flatten(0, 1)[at.to(h.device)].clone()

        reader.read(
            inputs,
            lambda _, r: residual.append(r.flatten(0, 1)[at.to(r.device)].float().to(self._rows.device)),
            see,
            logits=True,
        )
        h = [neurons[layer] for layer in self._found.layers]
        written = _mlp_writes(reader.module, self._found.layers, h)
        return _Seen(torch.stack(residual), h, torch.stack([w.to(self._rows.device) for w in written]))

    def _neurons(self, row: int, numbers: list[int], first: _Seen, seen: _Seen) -> None:
        """The terms of each neuron of a set, and their sums by layer."""
        ns, layers = self._sets[row], self._found.layers
        change = np.zeros((len(ns), len(numbers)), np.float32)
        for number, layer in enumerate(layers):
            picked = np.flatnonzero(ns.layers == layer)
            if picked.size:
                moved = (seen.neurons[number].float() - first.neurons[number].float())[:, ns.neurons[picked].tolist()]
                change[picked] = moved.T.cpu().numpy()
        read = self._path.read_by(self._rows.expand(len(numbers), -1))
        terms = contributions(self._pair.backbone1, ns, change, read)
        self._found.by_neuron[row][:, numbers], self._found.change[row][:, numbers] = terms, change
        for number, layer in enumerate(layers):
            own = terms[ns.layers == layer].sum(axis=0, dtype=np.float64)
            self._found.direct[row][number, numbers] = own

    def _split(self, row: int, numbers: list[int], first: _Seen, seen: _Seen, readout: Readout) -> None:
        """Everything else: other neurons, attention, and what is not of any layer."""
        found, read = self._found, readout.frozen(seen.residual[-1]).to(first.residual.device)
        change = (((seen.residual - first.residual) * read).sum(dim=-1)).double().cpu().numpy()
        mlps = (((seen.written - first.written) * read).sum(dim=-1)).double().cpu().numpy()
        if row == len(self._sets):
            found.direct[row][:, numbers] = mlps
        found.neurons[row][:, numbers] = mlps - found.direct[row][:, numbers]
        found.attention[row][:, numbers] = change[1:] - change[:-1] - mlps
        found.embedding[row, numbers] = change[0]
        total = readout.margins(seen.residual[-1]).double().cpu().numpy() - found.before[numbers]
        found.total[row, numbers] = total
        found.readout[row, numbers] = total - change[-1]


def _mlp_writes(model: "PreTrainedModel", layers: range, neurons: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """For each layer float32 [prompts, hidden]: what the MLP adds to the residual stream at these activations."""
    blocks, places = find(model, family_of(model).layers), neuron_layers(model)[layers.start :]
    out = []
    for block, place, h in zip(blocks, places, neurons, strict=True):
        written = place.write(h)
        norm = next((getattr(block, name) for name in AFTER_MLP if hasattr(block, name)), None)
        written = written if norm is None else norm(written)
        out.append(written.float() * float(getattr(block, "residual_multiplier", 1.0)))
    return out
