"""Greedy decoding of many columns at once: unpatched M1, aligned M2, and M1 patched with any number of sets.

Every column of every prompt is a *row*. A patched row reads its own text through M1; beside it a
*guide* row reads the same text through M2, and at every `down_proj` the chosen neurons of the guide
take the place of the patched row's own (method.md, "Dynamic activation patching").

When M1 and M2 share weights, all rows go through one forward pass: M2's activations of a layer are
there at the moment when M1's row needs them. Otherwise M2's rows go first and their activations are
kept for M1's pass. Both forms use KV caches; `reference.py` holds the naive form they are checked
against.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from explorer.errors import ExplorerError
from explorer.models.layers import neuron_layers
from explorer.models.pair import Pair, apply_scale
from explorer.neurons.passes import Pass, make_pass
from explorer.neurons.sets import NeuronSet

UNPATCHED, ALIGNED = -1, -2
"""Columns that are no neuron set; a column from 0 is M1 patched with the set of that index."""


class Emitted(NamedTuple):
    """One token of one column of one prompt."""

    column: int
    prompt: int
    token: int
    ended: bool


@dataclass(frozen=True)
class _Row:
    """A row of the batch: which text it writes (column, prompt)."""

    column: int
    prompt: int


def decode(
    pair: Pair,
    prompts: Sequence[list[int]],
    sets: Sequence[NeuronSet],
    max_new_tokens: int,
    columns: Sequence[int] | None = None,
) -> Iterator[list[Emitted]]:
    """Decode greedily, one list of new tokens a step, until every column has ended.

    Args:
        pair: the models.
        prompts: token ids of each prompt.
        sets: the neuron sets to patch, each a column of its own.
        max_new_tokens: the limit per answer; an end token counts.
        columns: which columns to emit (`UNPATCHED`, `ALIGNED`, indices into `sets`); all when left out.

    Yields:
        The tokens of one step, at most one for each (column, prompt).

    Raises:
        ExplorerError: a set belongs to another model, or the model writes no text.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no text; it can be contrasted and ranked only.")
    for ns in sets:
        if (ns.n_layers, ns.n_neurons) != (pair.n_layers, pair.n_neurons):
            raise ExplorerError(
                f"The neuron set is of a model with {ns.n_layers} × {ns.n_neurons} neurons; this pair has "
                f"{pair.n_layers} × {pair.n_neurons}."
            )
    wanted = list(columns) if columns is not None else [UNPATCHED, *range(len(sets)), ALIGNED]
    source = {column: _written_by(column, sets, pair) for column in wanted}
    readers: dict[int, list[int]] = {}
    for column in wanted:
        readers.setdefault(source[column], []).append(column)
    batch = _Batch(pair, prompts, sets, sorted(readers), max_new_tokens)
    for step in range(max_new_tokens):
        emitted = []
        for row, token in batch.step():
            ended = token in pair.stop_ids or step + 1 == max_new_tokens
            emitted += [Emitted(column, row.prompt, token, ended) for column in readers[row.column]]
        yield emitted
        batch.drop_ended()
        if not batch.rows:
            return


def _written_by(column: int, sets: Sequence[NeuronSet], pair: Pair) -> int:
    """The column whose computation also gives this one.

    M1 with nothing patched is M1. With every neuron patched, each MLP of a shared-weight pair gives
    what M2's gives, from the embedding on, so it is M2. Neither is computed twice.
    """
    if column >= 0 and len(sets[column]) == 0:
        return UNPATCHED
    if column >= 0 and pair.shared and len(sets[column]) == pair.total_neurons:
        return ALIGNED
    return column


class _Batch:
    """The rows that are still being written.

    Order of rows: M1's (unpatched, then patched), then M2's (guides in the order of the patched rows,
    then aligned), so that every kind is one slice.
    """

    def __init__(
        self,
        pair: Pair,
        prompts: Sequence[list[int]],
        sets: Sequence[NeuronSet],
        columns: list[int],
        max_new_tokens: int,
    ) -> None:
        self.pair = pair
        everything = range(len(prompts))
        patched = [_Row(column, p) for column in columns if column >= 0 for p in everything]
        self.plain = [_Row(UNPATCHED, p) for p in everything] if UNPATCHED in columns else []
        self.patched = patched
        self.aligned = [_Row(ALIGNED, p) for p in everything] if ALIGNED in columns else []
        self.masks = _layer_masks([s.mask() for s in sets], pair)
        self.used = [bool(m.any()) for m in self.masks]
        self.device = pair.backbone1.device
        self.ended: set[_Row] = set()
        self.pending = [prompts[row.prompt] for row in self._all_rows()]
        longest = max(map(len, prompts), default=0) + max_new_tokens
        modules = [pair.backbone1] if pair.shared else [pair.backbone1, pair.backbone2]
        with pair.lock:
            self.passes: list[Pass] = [make_pass(module, longest) for module in modules]

    @property
    def rows(self) -> list[_Row]:
        """The rows whose tokens are emitted: all but the guides."""
        return [*self.plain, *self.patched, *self.aligned]

    def _all_rows(self) -> list[_Row]:
        return [*self.plain, *self.patched, *self.patched, *self.aligned]

    def step(self) -> list[tuple[_Row, int]]:
        """Run every row over its pending tokens; the next token of each row that writes."""
        n1, g = len(self.plain) + len(self.patched), len(self.patched)
        with torch.inference_mode(), self.pair.lock:
            tokens = (self._shared_pass if self.pair.shared else self._lockstep_pass)(n1, g)
        written = list(zip(self.rows, tokens, strict=True))
        self.ended |= {row for row, token in written if token in self.pair.stop_ids}
        m1, aligned = tokens[:n1], tokens[n1:]
        self.pending = [[t] for t in [*m1, *m1[len(self.plain) :], *aligned]]
        return written

    def drop_ended(self) -> None:
        """Take rows that have ended, and their guides, out of the batch and its caches."""
        if not self.ended:
            return
        alive = [row not in self.ended for row in self._all_rows()]
        keep = [i for i, lives in enumerate(alive) if lives]
        n1 = len(self.plain) + len(self.patched)
        if self.pair.shared:
            self.passes[0].keep(keep)
        else:
            self.passes[0].keep([i for i in keep if i < n1])
            self.passes[1].keep([i - n1 for i in keep if i >= n1])
        self.pending = [ids for ids, lives in zip(self.pending, alive, strict=True) if lives]
        self.plain = [row for row in self.plain if row not in self.ended]
        self.patched = [row for row in self.patched if row not in self.ended]
        self.aligned = [row for row in self.aligned if row not in self.ended]
        self.ended = set()

    def _patch_masks(self) -> list[torch.Tensor]:
        """bool [patched rows, 1, n_neurons] for each layer: what is replaced in each patched row."""
        which = torch.tensor([row.column for row in self.patched], device=self.device, dtype=torch.long)
        return [m[which.to(m.device)].unsqueeze(1) for m in self.masks]

    def _shared_pass(self, n1: int, g: int) -> list[int]:
        """All rows through the one module; the greedy token of each row but the guides."""
        patched, guides, second = slice(n1 - g, n1), slice(n1, n1 + g), slice(n1, None)
        masks = self._patch_masks() if g else []
        scale1, scale2 = self.pair.scale1, self.pair.scale2

        def visit(layer: int, h: torch.Tensor) -> None:
            # In place: what enters down_proj was made for it alone, and a copy of it would cost more
            # than the patch.
            if scale1 is not None:
                h[:n1] = apply_scale(h[:n1], scale1[layer])
            if scale2 is not None:
                h[second] = apply_scale(h[second], scale2[layer])
            if g and self.used[layer]:
                h[patched] = torch.where(masks[layer], h[guides], h[patched])

        hidden = self.passes[0].forward(self.pending, visit)
        return self.passes[0].greedy(torch.cat([hidden[:n1], hidden[n1 + g :]]))

    def _lockstep_pass(self, n1: int, g: int) -> list[int]:
        """M2's rows, their guides' activations kept, then M1's rows patched with them."""
        masks = self._patch_masks() if g else []
        scale1, scale2 = self.pair.scale1, self.pair.scale2
        guide: dict[int, torch.Tensor] = {}

        def record(layer: int, h: torch.Tensor) -> None:
            if scale2 is not None:
                h[:] = apply_scale(h, scale2[layer])
            if g and self.used[layer]:
                guide[layer] = h[:g].clone()

        def patch(layer: int, h: torch.Tensor) -> None:
            if scale1 is not None:
                h[:] = apply_scale(h, scale1[layer])
            if g and self.used[layer]:
                h[n1 - g :] = torch.where(masks[layer], guide[layer].to(h), h[n1 - g :])

        tokens2: list[int] = []
        if self.pending[n1:]:
            hidden2 = self.passes[1].forward(self.pending[n1:], record)
            tokens2 = self.passes[1].greedy(hidden2[g:])
        tokens1: list[int] = []
        if n1:
            tokens1 = self.passes[0].greedy(self.passes[0].forward(self.pending[:n1], patch))
        return tokens1 + tokens2


def _layer_masks(masks: list, pair: Pair) -> list[torch.Tensor]:
    """bool [sets, n_neurons] for each layer, on the device where that layer of M1 is."""
    if not masks:
        return [torch.zeros(0, pair.n_neurons, dtype=torch.bool) for _ in range(pair.n_layers)]
    stacked = torch.stack([torch.from_numpy(m) for m in masks])
    return [stacked[:, i].to(layer.device) for i, layer in enumerate(neuron_layers(pair.backbone1))]
