"""Continuous batching: answers to many requests side by side in one batch, which each joins and leaves at any step.

    joint = Joint(pair)
    number, tokens = joint.join(Asked(ids, Columns([neurons]), Decoding(64)))
    while joint.active:
        for number, tokens in joint.step().items(): ...

A request reads its prompt (what all prompts begin with has been read, `prefixes.py`) and writes its first token in a
batch of its own, whose rows then go on in the common one:
their keys and values are put behind padding, so that all rows end at the same position. Keys are rotated by a token's
own position, which padding does not change, so a request's answers are those that it would get alone (in float32 to the
token; in bfloat16 up to near-ties, as between any two sizes of a batch). Rows are nearly free: the weights, which a
step waits for, are read once for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from explorer.engine.backends.joined import can_join, join_passes
from explorer.engine.batch import DecodeBatch, SharedPrefix, writers_of
from explorer.engine.decoding import Emitted, check_columns, read_shared_prefix
from explorer.engine.options import Columns, Decoding
from explorer.engine.prefixes import prefix_for
from explorer.engine.replacing import Replacing
from explorer.engine.rows import Context, Row
from explorer.models.pair import Pair


@dataclass(frozen=True)
class Asked:
    """What one request asks for.

    Attributes:
        ids: token ids of its prompt.
        what: which columns to emit.
        how: how they are decoded; an opening is not forced.
        samples: the numbers of the samples that are written, where tokens are sampled.
        own: token ids of the prompt of a column that reads another one than `ids`.
    """

    ids: list[int]
    what: Columns
    how: Decoding
    samples: Sequence[int] = (0,)
    own: Mapping[int, list[int]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """About how many rows it takes, M2's guides included."""
        return (len(self.what.numbers) + len(self.what.patches)) * len(self.samples)

    def ids_of(self, column: int) -> list[int]:
        """Token ids of the prompt that a column reads."""
        return self.own.get(column, self.ids)

    def texts(self) -> "list[_Text]":
        """What is read: one prompt for each sample, and more of them where columns read their own."""
        columns = self.what.numbers
        if not self.own:
            return [_Text(self.ids, sample, columns) for sample in self.samples]
        return [_Text(self.ids_of(c), sample, [c]) for sample in self.samples for c in columns]


class _Text(NamedTuple):
    """A prompt of a request: its token ids, the sample that goes on from it, and the columns that do."""

    ids: list[int]
    sample: int
    columns: Sequence[int]


class Joint:
    """The answers to several requests, written side by side.

    Attributes:
        pair: the models.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._batch: _Batch | None = None
        self._open: set[int] = set()  # requests that still write
        self._last = 0

    @property
    def active(self) -> bool:
        """Whether anything is still to be written."""
        return bool(self._open)

    @property
    def takes_another(self) -> bool:
        """Whether another request may join now; models whose caches cannot be joined write for one at a time."""
        return self._batch is None or can_join(self._batch.passes)

    def join(self, asked: Asked) -> tuple[int, list[Emitted]]:
        """Let a request join; its number, and the first tokens of its columns (the prompt of
        an `Emitted` is here the number of the sample).

        Raises:
            ExplorerError: a set belongs to another model, the model writes no text, or its numbers are not finite.
        """
        assert self.takes_another
        self._last += 1
        batch = _Batch(self.pair, self._last, asked)
        written = batch.write()
        if batch.rows:
            self._open.add(self._last)
            if self._batch is None:
                self._batch = batch
            else:
                self._batch.take_in(batch)
        return self._last, written.get(self._last, [])

    def step(self) -> dict[int, list[Emitted]]:
        """One step of all: the tokens of each request that wrote, by its number."""
        if self._batch is None:
            return {}
        written = self._batch.write()
        self._open = {self._batch.numbers[row.prompt] for row in self._batch.rows}
        if not self._open:
            self._batch = None
        return {number: tokens for number, tokens in written.items() if tokens}

    def leave(self, number: int) -> None:
        """Write no more for a request; its rows are dropped after the next step."""
        self._open.discard(number)
        if not self._open:
            self._batch = None
        elif self._batch is not None:
            self._batch.gone.add(number)


def _prefix(pair: Pair, texts: Sequence[_Text], what: Columns) -> SharedPrefix | None:
    """What a request's prompts begin with: all of it but the last tokens where they are samples of one."""
    ids = [text.ids for text in texts]
    return prefix_for(pair, ids[0], what) if len(ids) == 1 else read_shared_prefix(pair, ids, what)


class _Batch(DecodeBatch):
    """A batch whose prompts are of different requests, each with columns and a limit of its own.

    Attributes:
        numbers, limits: of each prompt's request; a sample of it is a prompt of its own.
        gives: by prompt and column with rows, which of its request's columns are read off them.
        gone: requests that have left, whose rows are dropped after the next step.
    """

    def __init__(self, pair: Pair, number: int, asked: Asked) -> None:
        """A batch of one request.

        Raises:
            ExplorerError: a set belongs to another model, or the model writes no text.
        """
        check_columns(pair, asked.what)
        texts = asked.texts()
        self.numbers, self.limits = [number] * len(texts), [asked.how.max_new_tokens] * len(texts)
        self.gone: set[int] = set()
        self.gives: dict[tuple[int, int], list[int]] = {}
        writers = writers_of(asked.what, pair)
        for prompt, text in enumerate(texts):
            for column in text.columns:
                self.gives.setdefault((prompt, writers[column]), []).append(column)
        columns = sorted({column for _, column in self.gives})
        super().__init__(
            pair,
            [text.ids for text in texts],
            asked.what.as_patches,
            columns,
            asked.how,
            _prefix(pair, texts, asked.what),
            samples=[text.sample for text in texts],
            wanted={(column, prompt) for prompt, column in self.gives},
        )

    def has_ended(self, row: Row) -> bool:
        """Whether a row writes no more: of its own limit, or because its request has left."""
        full = len(row.written) >= self.limits[row.prompt] or row.written[-1] in self.pair.stop_ids
        return full or self.numbers[row.prompt] in self.gone

    def write(self) -> dict[int, list[Emitted]]:
        """One step, after which rows that have ended are dropped; the tokens by their request's number."""
        written: dict[int, list[Emitted]] = {number: [] for number in self.numbers}
        for row in self.step():
            number = self.numbers[row.prompt]
            if number in self.gone:
                continue
            for place, token in enumerate(row.written[-row.fresh :], 1):
                ended = place == row.fresh and self.has_ended(row)
                sample = self.samples[row.prompt]
                given = self.gives[row.prompt, row.column]
                written[number] += [Emitted(column, sample, token, ended) for column in given]
        self.advance()
        return written

    def take_in(self, other: "_Batch") -> None:
        """Go on with the rows of another batch beside one's own; both have just been advanced."""
        sources = [self, other]
        counts = [len(source.first) for source in sources]
        plain = [(s, i) for s, source in enumerate(sources) for i in range(len(source.plain))]
        patched = [(s, len(source.plain) + i) for s, source in enumerate(sources) for i in range(len(source.patched))]
        texts = [(s, i) for s, source in enumerate(sources) for i in range(len(source.contexts))]
        first = plain + patched
        orders = [[*first, *((s, counts[s] + i) for s, i in texts)]] if self.pair.shared else [first, texts]
        with self.pair.lock:
            passes = [
                join_passes(ours, theirs, order)
                for ours, theirs, order in zip(self.passes, other.passes, orders, strict=True)
            ]
        self._renumber(sources)
        self._go_on_with(passes)
        self._look_ahead()  # draft tokens that were looked up before have not been read
        self._find_guides()

    def _renumber(self, sources: "Sequence[_Batch]") -> None:
        """Rows and contexts of all, with prompts and patches numbered anew: those that nobody uses are left behind."""
        live = [(s, source, row) for s, source in enumerate(sources) for row in source.rows]
        prompts = {key: n for n, key in enumerate(dict.fromkeys((s, row.prompt) for s, _, row in live))}
        used = dict.fromkeys((s, row.column) for s, _, row in live if row.column >= 0)
        columns = {key: n for n, key in enumerate(used)}

        def moved(section: str) -> list[Row]:
            rows = [(s, row) for s, source in enumerate(sources) for row in getattr(source, section)]
            return [Row(columns.get((s, r.column), r.column), prompts[s, r.prompt], r.written) for s, r in rows]

        plain, patched, aligned = (moved(section) for section in ("plain", "patched", "aligned"))
        contexts = [
            Context(prompts[s, context.prompt], context.written)
            for s, source in enumerate(sources)
            for context in source.contexts
        ]
        of = [(sources[s], p) for s, p in prompts]
        patches = [sources[s].replacing.patches[column] for s, column in columns]
        gives = {
            (prompts[s, row.prompt], columns.get((s, row.column), row.column)): source.gives[row.prompt, row.column]
            for s, source, row in live
        }
        numbers, limits = [b.numbers[p] for b, p in of], [b.limits[p] for b, p in of]
        self.prompts, self.openings = [b.prompts[p] for b, p in of], [b.openings[p] for b, p in of]
        self.ways, self.samples = [b.ways[p] for b, p in of], [b.samples[p] for b, p in of]
        self.gone = {number for source in sources for number in source.gone if number in numbers}
        self.plain, self.patched, self.aligned, self.contexts = plain, patched, aligned, contexts
        self.numbers, self.limits, self.limit, self.gives = numbers, limits, max(limits), gives
        self.replacing = Replacing(patches, self.pair)
