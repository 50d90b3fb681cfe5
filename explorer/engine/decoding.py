"""Greedy decoding of many columns at once: unpatched M1, aligned M2, and M1 patched with any number of sets.

Every column of every prompt is a *row*. A patched row reads its own text through M1; beside it a
*guide* row reads the same text through M2, and at every `down_proj` the chosen neurons of the guide
take the place of the patched row's own (method.md, "Dynamic activation patching").

What repeats is computed once. M2 is never patched, so its activations depend on the text alone: patched rows
that have written the same text share a guide, the aligned column is a guide that others may share, and a guide parts in
two when its rows do. What all prompts begin with (the chat template's system message) is read once for each
column and continued for every prompt (`read_opening`). M1's patched rows differ from the first layer on and are
never shared.

A step reads, behind a row's last token, a few that are guessed to follow (`phrases.py`), where that is nearly free:
those that turn out to be the model's own choices are written in the same step, the others are taken back.

When M1 and M2 share weights, all rows go through one forward pass: M2's activations of a layer are
there at the moment when M1's row needs them. Otherwise M2's rows go first and their activations are
kept for M1's pass. Both forms use KV caches; `reference.py` holds the naive form they are checked
against.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from explorer.engine.fused_pass import FusedPass
from explorer.engine.passes import Pass, make_pass
from explorer.engine.phrases import NOTHING_SEEN, Phrases
from explorer.engine.replacing import Replacing
from explorer.engine.rows import Row, Text, agreed, arrange
from explorer.engine.sane import check_finite_states
from explorer.errors import ExplorerError
from explorer.models.pair import Pair, scale_in_place
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet

UNPATCHED, ALIGNED = -1, -2
"""Columns that are no neuron set; a column from 0 is M1 patched with the set of that index."""

MOST_GUESSES = 7
"""Guessed tokens that a row reads in a step, at most."""


class Emitted(NamedTuple):
    """One token of one column of one prompt."""

    column: int
    prompt: int
    token: int
    ended: bool


@dataclass(frozen=True)
class Opening:
    """The tokens that all prompts begin with, read by every column.

    Attributes:
        ids: those tokens.
        batch: has read them; it is continued, never stepped.
    """

    ids: list[int]
    batch: "_Batch"


def decode(
    pair: Pair,
    prompts: Sequence[list[int]],
    sets: Sequence[NeuronSet | Patch],
    max_new_tokens: int,
    columns: Sequence[int] | None = None,
    opening: Opening | None = None,
    phrases: Phrases = NOTHING_SEEN,
) -> Iterator[list[Emitted]]:
    """Decode greedily, one list of new tokens a step, until every column has ended.

    Args:
        pair: the models.
        prompts: token ids of each prompt.
        sets: what to patch, each a column of its own; a bare set is patched as in the paper.
        max_new_tokens: the limit per answer; an end token counts.
        columns: which columns to emit (`UNPATCHED`, `ALIGNED`, indices into `sets`); all when left out.
        opening: of `read_opening`, for these sets and columns and prompts that begin so.
        phrases: of earlier answers; they save time where this answer says something similar, and change nothing else.

    Yields:
        The tokens of one step; several of one (column, prompt), in their order, where guesses were right.

    Raises:
        ExplorerError: a set belongs to another model, or the model writes no text.
    """
    if pair.kind == "encoder":
        raise ExplorerError("This model is a classifier, which writes no text; it can be contrasted and ranked only.")
    patches = patches_of(sets)
    for ns in (patch.neurons for patch in patches):
        if (ns.n_layers, ns.n_neurons) != (pair.n_layers, pair.n_neurons):
            raise ExplorerError(
                f"The neuron set is of a model with {ns.n_layers} × {ns.n_neurons} neurons; this pair has "
                f"{pair.n_layers} × {pair.n_neurons}."
            )
    source = {column: _written_by(column, patches, pair) for column in _wanted(columns, patches)}
    readers: dict[int, list[int]] = {}
    for column, writer in source.items():
        readers.setdefault(writer, []).append(column)
    batch = _Batch(pair, prompts, patches, sorted(readers), max_new_tokens, opening, phrases)
    while batch.rows:
        emitted = []
        for row in batch.step():
            fresh = row.written[-row.fresh :]
            for number, token in enumerate(fresh, 1):
                ended = number == row.fresh and batch.has_ended(row)
                emitted += [Emitted(column, row.prompt, token, ended) for column in readers[row.column]]
        yield emitted
        batch.advance()


def read_opening(
    pair: Pair,
    prompts: Sequence[list[int]],
    sets: Sequence[NeuronSet | Patch],
    columns: Sequence[int] | None = None,
) -> Opening | None:
    """What the prompts have in common, read once; None where that is nothing, or a model cannot go on from it.

    The arguments are those of `decode`.
    """
    if len(prompts) < 2:
        return None
    first, last = min(prompts), max(prompts)  # what these two share, all share
    common = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    common = min(common, len(first) - 1)  # every prompt has something left to read
    if common < 1:
        return None
    patches = patches_of(sets)
    writers = sorted({_written_by(column, patches, pair) for column in _wanted(columns, patches)})
    batch = _Batch(pair, [first[:common]], patches, writers, 0)
    if not all(isinstance(one, FusedPass) for one in batch.passes):
        return None
    batch.read()
    return Opening(first[:common], batch)


def patches_of(sets: Sequence[NeuronSet | Patch]) -> list[Patch]:
    """Sets as patches; a bare one is patched as in the paper."""
    return [one if isinstance(one, Patch) else Patch(one) for one in sets]


def _wanted(columns: Sequence[int] | None, patches: Sequence[Patch]) -> list[int]:
    return list(columns) if columns is not None else [UNPATCHED, *range(len(patches)), ALIGNED]


def _written_by(column: int, patches: Sequence[Patch], pair: Pair) -> int:
    """The column whose computation also gives this one.

    M1 with nothing patched is M1. With every neuron patched, each MLP of a shared-weight pair gives
    what M2's gives, from the embedding on, so it is M2. Neither is computed twice.
    """
    if column < 0:
        return column
    patch = patches[column]
    if patch.changes_nothing:
        return UNPATCHED
    return ALIGNED if pair.shared and patch.is_plain and len(patch.neurons) == pair.total_neurons else column


class _Batch:
    """The rows that are still being written, and the texts that M2 reads for them.

    Order in a forward pass: M1's rows (unpatched, then patched), then M2's texts, so that every kind is one slice.
    """

    def __init__(
        self,
        pair: Pair,
        prompts: Sequence[list[int]],
        sets: Sequence[NeuronSet | Patch],
        columns: Sequence[int],
        max_new_tokens: int,
        opening: Opening | None = None,
        phrases: Phrases = NOTHING_SEEN,
    ) -> None:
        self.pair, self.prompts, self.limit, self.phrases = pair, prompts, max_new_tokens, phrases
        everything = range(len(prompts))
        self.plain = [Row(UNPATCHED, p) for p in everything] if UNPATCHED in columns else []
        self.patched = [Row(column, p) for column in columns if column >= 0 for p in everything]
        self.aligned = [Row(ALIGNED, p) for p in everything] if ALIGNED in columns else []
        self.texts = [Text(p) for p in everything] if self.patched or self.aligned else []
        self.replacing = Replacing(patches_of(sets), pair)
        self.device = pair.backbone1.device
        self._find_guides()
        read = len(opening.ids) if opening else 0
        self.pending = [prompts[row.prompt][read:] for row in self.first]
        self.pending += [prompts[text.prompt][read:] for text in self.texts]
        self.checked = False  # whether what the models make of the prompts is finite
        self.guessed = 0  # how many of each row's pending tokens are guesses
        longest = max(map(len, prompts), default=0) + max_new_tokens
        with pair.lock:
            self.passes = self._continue(opening.batch, longest) if opening else self._begin(longest)

    @property
    def first(self) -> list[Row]:
        """The rows that M1 reads."""
        return [*self.plain, *self.patched]

    @property
    def rows(self) -> list[Row]:
        """The rows whose tokens are emitted."""
        return [*self.plain, *self.patched, *self.aligned]

    def has_ended(self, row: Row) -> bool:
        """Whether a row writes no more."""
        return row.written[-1] in self.pair.stop_ids or len(row.written) == self.limit

    def step(self) -> list[Row]:
        """Run everything over its pending tokens; the rows, each with its next tokens written."""
        with torch.inference_mode(), self.pair.lock:
            first, second = self._forward()
            if not self.checked:
                check_finite_states(self.pair, first, second, self.prompts[0])
                self.checked = True
            first, second = first.flatten(0, 1), second[self.aligned_at].flatten(0, 1)
            if self.pair.shared:
                best = self.passes[0].greedy(torch.cat([first, second]))
            else:
                best = self.passes[0].greedy(first) + self.passes[1].greedy(second)
        n1, width = len(self.first), 1 + self.guessed
        read = [*self.pending[:n1], *(self.pending[n1 + i] for i in self.aligned_at)]
        for number, (row, tokens) in enumerate(zip(self.rows, read, strict=True)):
            choices = best[number * width : (number + 1) * width]
            before = len(row.written)
            for token in agreed(choices, tokens[1:] if self.guessed else []):
                row.written = (*row.written, token)
                if self.has_ended(row):
                    break
            row.fresh = len(row.written) - before
        return self.rows

    def read(self) -> None:
        """Run everything over its pending tokens; nothing is written."""
        with torch.inference_mode(), self.pair.lock:
            self._forward()

    def advance(self) -> None:
        """Drop rows that have ended, let M2's texts follow those that have not, and take back wrong guesses."""
        n1, first = len(self.first), self.first
        alive = [i for i, row in enumerate(first) if not self.has_ended(row)]
        plain, patched = [i for i in alive if i < len(self.plain)], [i for i in alive if i >= len(self.plain)]
        readers = [(first[i], self.guided_by[i - len(self.plain)]) for i in patched]
        aligned = [(row, at) for row, at in zip(self.aligned, self.aligned_at, strict=True) if not self.has_ended(row)]
        self.aligned = [row for row, _ in aligned]
        texts = {row.text: (n1 + at, self._wrong(row)) for row, at in readers + aligned}
        orders = arrange([plain, patched, [at for at, _ in texts.values()]])
        plain, patched = [plain[i] for i in orders[0]], [patched[i] for i in orders[1]]
        self.texts = [list(texts)[i] for i in orders[2]]
        self.plain, self.patched = [first[i] for i in plain], [first[i] for i in patched]
        self._keep(plain + patched, [texts[text][0] - n1 for text in self.texts], n1)
        if self.guessed:
            self._forget([self._wrong(row) for row in self.first], [texts[text][1] for text in self.texts])
        self._look_ahead()
        self._find_guides()

    def _wrong(self, row: Row) -> int:
        """How many of the tokens that a row read in the last step are not part of its text."""
        return self.guessed + 1 - row.fresh

    def _look_ahead(self) -> None:
        """What is read next: the last token of every row and every text, and what may follow it."""
        last = [*(row.text for row in self.first), *self.texts]
        prices = [one.row_price for one in self.passes if one.row_price is not None]
        room = self.limit - 1 - min((len(row.written) for row in self.rows), default=self.limit)
        guesses: dict[Text, list[int]] = {}
        if len(prices) == len(self.passes) and room > 0:
            texts = {text: [*self.prompts[text.prompt], *text.written] for text in dict.fromkeys(last)}
            found = self.phrases.ahead(list(texts.values()), len(last), max(prices), min(room, MOST_GUESSES))
            guesses = dict(zip(texts, found, strict=True))
        self.pending = [[text.written[-1], *guesses.get(text, [])] for text in last]
        self.guessed = max(map(len, guesses.values()), default=0)

    def _begin(self, longest: int) -> list[Pass]:
        modules = [self.pair.backbone1] if self.pair.shared else [self.pair.backbone1, self.pair.backbone2]
        return [make_pass(module, longest) for module in modules]

    def _continue(self, start: "_Batch", longest: int) -> list[Pass]:
        """Passes whose rows go on from the rows of the same column in `start`, which has read one prompt."""
        row_of = {row.column: i for i, row in enumerate(start.first)}
        first, texts = [row_of[row.column] for row in self.first], [0] * len(self.texts)
        rows = self._by_pass(first, texts, len(start.first))
        passes = [one for one in start.passes if isinstance(one, FusedPass)]
        return [one.branch(its, longest) for one, its in zip(passes, rows, strict=True)]

    def _keep(self, first: list[int], texts: list[int], n1: int) -> None:
        for one, rows in zip(self.passes, self._by_pass(first, texts, n1), strict=True):
            one.keep(rows)

    def _forget(self, first: list[int], texts: list[int]) -> None:
        for one, counts in zip(self.passes, self._by_pass(first, texts, 0), strict=True):
            if counts:
                one.forget(counts)

    def _by_pass(self, first: list[int], texts: list[int], n1: int) -> list[list[int]]:
        """Rows of M1 and texts of M2 as rows of each pass, where M1 has had `n1` rows."""
        return [first + [n1 + i for i in texts]] if self.pair.shared else [first, texts]

    def _find_guides(self) -> None:
        """Which text guides each patched row, which is each aligned column's own, and what is replaced where."""
        place = {text: i for i, text in enumerate(self.texts)}
        self.guided_by = [place[row.text] for row in self.patched]
        self.guides = torch.tensor(self.guided_by, device=self.device, dtype=torch.long)
        self.aligned_at = [place[row.text] for row in self.aligned]
        self.replacing.follow([row.column for row in self.patched])

    def _forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Final hidden states of the last position and of guesses, [rows, 1 + guessed, hidden]: of M1, and of M2."""
        # An opening, which writes nothing, ends before its prompts do.
        self.replacing.begin([len(row.written) + self.guessed if self.limit else -1 for row in self.patched])
        return self._shared_pass() if self.pair.shared else self._lockstep_pass()

    def _shared_pass(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Everything through the one module."""
        n1 = len(self.first)
        scale1, scale2 = self.pair.scale1, self.pair.scale2

        def visit(layer: int, h: torch.Tensor) -> None:
            # In place: what enters down_proj was made for it alone, and a copy of it would cost more
            # than the patch.
            first, second = h[:n1], h[n1:]
            if scale1 is not None:
                scale_in_place(first, scale1[layer])
            if scale2 is not None:
                scale_in_place(second, scale2[layer])
            if self.patched and self.replacing.used[layer]:
                self._patch(layer, first, second)

        hidden = self.passes[0].forward(self.pending, visit, 1 + self.guessed)
        return hidden[:n1], hidden[n1:]

    def _lockstep_pass(self) -> tuple[torch.Tensor, torch.Tensor]:
        """M2's texts, their activations kept, then M1's rows patched with them."""
        n1 = len(self.first)
        scale1, scale2 = self.pair.scale1, self.pair.scale2
        guide: dict[int, torch.Tensor] = {}

        def record(layer: int, h: torch.Tensor) -> None:
            if scale2 is not None:
                scale_in_place(h, scale2[layer])
            if self.patched and self.replacing.used[layer]:
                guide[layer] = h.clone()

        def patch(layer: int, h: torch.Tensor) -> None:
            if scale1 is not None:
                scale_in_place(h, scale1[layer])
            if self.patched and self.replacing.used[layer]:
                self._patch(layer, h, guide[layer].to(h))

        last = 1 + self.guessed
        nothing = torch.zeros(0, last, self.pair.backbone1.config.hidden_size)
        second = self.passes[1].forward(self.pending[n1:], record, last) if self.texts else nothing
        first = self.passes[0].forward(self.pending[:n1], patch, last) if n1 else nothing
        return first, second

    def _patch(self, layer: int, first: torch.Tensor, second: torch.Tensor) -> None:
        """Put M2's activations of a layer, [texts, positions, n_neurons], into M1's, [rows, positions, n_neurons]."""
        own = first[len(self.plain) :]
        guide = second.index_select(0, self.guides.to(second.device))
        self.replacing.into(own, guide, layer)
