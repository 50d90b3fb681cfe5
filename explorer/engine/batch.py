"""The rows of a decoding batch: what M1 and M2 read in a step, what is patched on the way, and which rows go on."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from explorer.engine.backends.choosing import begin
from explorer.engine.backends.fused import Step
from explorer.engine.backends.graphed import StepGraphs, fused_passes, graphs_for
from explorer.engine.backends.interface import DecodePass, InPlaceVisit
from explorer.engine.drafts import PROMPT_LOOKUP, Draft
from explorer.engine.options import ALIGNED, UNPATCHED, Columns, Decoding
from explorer.engine.replacing import Replacing
from explorer.engine.rows import Context, Row, accepted, arrange
from explorer.engine.sampling import Place, sampled
from explorer.engine.sane import check_finite_states
from explorer.models.pair import Pair, scale_in_place
from explorer.neurons.patch import Patch

MOST_DRAFTED = 7
"""Draft tokens that a row reads in a step, at most."""


Read = Callable[[int, InPlaceVisit], torch.Tensor]
"""A pass, by its number, reads what is pending; the hidden states [rows, 1 + drafted, hidden]."""


@dataclass(frozen=True)
class SharedPrefix:
    """The tokens that all prompts begin with, read by every column.

    Attributes:
        ids: those tokens.
        batch: has read them; it is continued, never stepped.
    """

    ids: list[int]
    batch: "DecodeBatch"


def writers_of(what: Columns, pair: Pair) -> dict[int, int]:
    """For each wanted column, the one whose computation also gives it: itself, mostly.

    M1 with nothing patched is M1. With every neuron patched, each MLP of a shared-weight pair gives
    what M2's gives, from the embedding on, so it is M2. Neither is computed twice.
    """
    writers = {column: column for column in what.numbers}
    for column, patch in enumerate(what.as_patches):
        if patch.changes_nothing:
            writers[column] = UNPATCHED
        elif pair.shared and patch.is_plain and len(patch.neurons) == pair.total_neurons:
            writers[column] = ALIGNED
    return writers


class DecodeBatch:
    """The rows that are still being written, and the texts that M2 reads for them.

    Order in a forward pass: M1's rows (unpatched, then patched), then M2's texts, so that every kind is one slice.
    """

    def __init__(
        self,
        pair: Pair,
        prompts: Sequence[list[int]],
        patches: Sequence[Patch],
        columns: Sequence[int],
        how: Decoding | None = None,
        prefix: SharedPrefix | None = None,
        openings: Sequence[Sequence[int]] = (),
        samples: Sequence[int] = (),
        wanted: Collection[tuple[int, int]] | None = None,
    ) -> None:
        """
        Args:
            pair: the models.
            prompts: token ids of each prompt.
            patches: what is patched.
            columns: which have rows of their own, ascending; the others are read off these (`writers_of`).
            how: how they are decoded; None for prompts that are read and not answered.
            prefix: what the prompts begin with, if it has been read.
            openings: token ids that each prompt's answers begin with, whatever the models would write; none where left
                out.
            samples: the number of each prompt's sample, where tokens are sampled; 0 where left out.
            wanted: which of the columns answer which prompt, as (column, prompt); None for all.
        """
        self.pair, self.prompts = pair, prompts
        self.ways = [how.sampled if how else None] * len(prompts)  # how each prompt's tokens are sampled
        self.samples = list(samples or [0] * len(prompts))
        self.openings = openings or [()] * len(prompts)
        self.limit = how.max_new_tokens if how else 0
        self.draft: Draft = how.draft if how else PROMPT_LOOKUP
        asked = [(c, p) for c in columns for p in range(len(prompts)) if wanted is None or (c, p) in wanted]
        self.plain = [Row(c, p) for c, p in asked if c == UNPATCHED]
        self.patched = [Row(c, p) for c, p in asked if c >= 0]
        self.aligned = [Row(c, p) for c, p in asked if c == ALIGNED]
        self.contexts = [Context(p) for p in sorted({p for c, p in asked if c != UNPATCHED})]
        self.replacing = Replacing(patches, pair)
        self.device = pair.backbone1.device
        self.graphs: StepGraphs | None = None
        self._arranged: object = None
        self._find_guides()
        read = len(prefix.ids) if prefix else 0
        self.pending = [prompts[row.prompt][read:] for row in self.first]
        self.pending += [prompts[context.prompt][read:] for context in self.contexts]
        self.checked = False  # whether what the models make of the prompts is finite
        self.drafted = 0  # how many of each row's pending tokens are draft tokens
        longest = max(map(len, prompts), default=0) + self.limit
        with pair.lock:
            self.passes = self._continue(prefix.batch, longest) if prefix else self._begin(longest)
        self.graphs = graphs_for(self.passes) if how else None

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
            best = self._best() if self.graphs is None or not self.checked else self._best_by_graph(self.graphs)
        n1, width = len(self.first), 1 + self.drafted
        read = [*self.pending[:n1], *(self.pending[n1 + i] for i in self.aligned_at)]
        for number, (row, tokens) in enumerate(zip(self.rows, read, strict=True)):
            choices = self._as_given(row, best[number * width : (number + 1) * width])
            before = len(row.written)
            for token in accepted(choices, tokens[1:] if self.drafted else []):
                row.written = (*row.written, token)
                if self.has_ended(row):
                    break
            row.fresh = len(row.written) - before
        return self.rows

    def _best(self) -> list[int]:
        """The next token, likeliest or sampled, at the last position and behind each draft token of every row."""
        first, second = self._forward(self._read)
        if not self.checked:
            check_finite_states(self.pair, first, second, self.prompts[0])
            self.checked = True
        states = self._states(first, second)
        if any(self.ways):
            return self._sampled([one.logits(its) for one, its in zip(self.passes, states, strict=True) if len(its)])
        return [token for one, its in zip(self.passes, states, strict=True) for token in one.greedy(its)]

    def _sampled(self, logits: Sequence[torch.Tensor]) -> list[int]:
        """The same where prompts are sampled, from each pass's logits; those that are not get the likeliest."""
        places = iter(self._places())
        return [token for its in logits for token in sampled(its, list(islice(places, len(its))))]

    def _places(self) -> list[Place | None]:
        """How the tokens that come next are sampled, those behind each draft token too, by row."""
        found: list[Place | None] = []
        for row in self.rows:
            how, sample = self.ways[row.prompt], self.samples[row.prompt]
            places = range(len(row.written), len(row.written) + 1 + self.drafted)
            found += [None if how is None else (how, sample, place) for place in places]
        return found

    def _best_by_graph(self, graphs: StepGraphs) -> list[int]:
        """The same, by a recorded step where this one has been taken before."""
        passes = fused_passes(self.passes)
        reading = [number for number, share in enumerate(self._shares()) if share]
        steps = [passes[number].prepare(self._shares()[number]) for number in reading]

        def compute(steps: Sequence[Step]) -> list[torch.Tensor]:
            """Of each pass with rows that write: the likeliest tokens, or logits, from which some are sampled."""
            step_of = dict(zip(reading, steps, strict=True))

            def read(number: int, visit: InPlaceVisit) -> torch.Tensor:
                return passes[number].run(step_of[number], visit, 1 + self.drafted)

            states = self._states(*self._forward(read))
            writing = [(one, its) for one, its in zip(passes, states, strict=True) if len(its)]
            return [one.logits(its) if any(self.ways) else one.choose(its) for one, its in writing]

        found = compute(steps) if self.replacing.moves else graphs.run(steps, compute)
        return self._sampled(found) if any(self.ways) else [token for its in found for token in its.tolist()]

    def _states(self, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
        """What is unembedded of M1's rows and of the aligned ones: for each pass hidden states [rows, hidden]."""
        second = second[self.aligned_index.to(second.device)] if self.aligned_at else second[:0]
        states = [first.flatten(0, 1), second.flatten(0, 1)]
        return [torch.cat(states)] if self.pair.shared else states

    def _shares(self) -> list[list[list[int]]]:
        """The pending tokens of each pass's rows."""
        n1 = len(self.first)
        return [self.pending] if self.pair.shared else [self.pending[:n1], self.pending[n1:]]

    def _as_given(self, row: Row, choices: Sequence[int]) -> Sequence[int]:
        """A row's next tokens, with what is still to come of its opening in place of its own choices."""
        rest = self.openings[row.prompt][len(row.written) :]
        return [*rest[: len(choices)], *choices[len(rest) :]] if rest else choices

    def read(self) -> None:
        """Run everything over its pending tokens; nothing is written."""
        with torch.inference_mode(), self.pair.lock:
            self._forward(self._read)

    def advance(self) -> None:
        """Drop rows that have ended, let M2's texts follow those that have not, and roll back rejected draft tokens."""
        n1, first = len(self.first), self.first
        alive = [i for i, row in enumerate(first) if not self.has_ended(row)]
        plain, patched = [i for i in alive if i < len(self.plain)], [i for i in alive if i >= len(self.plain)]
        readers = [(first[i], self.guided_by[i - len(self.plain)]) for i in patched]
        aligned = [(row, at) for row, at in zip(self.aligned, self.aligned_at, strict=True) if not self.has_ended(row)]
        self.aligned = [row for row, _ in aligned]
        contexts = {row.context: (n1 + at, self._rejected(row)) for row, at in readers + aligned}
        orders = arrange([plain, patched, [at for at, _ in contexts.values()]])
        plain, patched = [plain[i] for i in orders[0]], [patched[i] for i in orders[1]]
        self.contexts = [list(contexts)[i] for i in orders[2]]
        self.plain, self.patched = [first[i] for i in plain], [first[i] for i in patched]
        self._keep(plain + patched, [contexts[context][0] - n1 for context in self.contexts], n1)
        if self.drafted:
            rejected = [contexts[context][1] for context in self.contexts]
            self._forget([self._rejected(row) for row in self.first], rejected)
        self._look_ahead()
        self._find_guides()

    def _rejected(self, row: Row) -> int:
        """How many of the tokens that a row read in the last step are not part of its text."""
        return self.drafted + 1 - row.fresh

    def _look_ahead(self) -> None:
        """What is read next: the last token of every row and every context, and draft tokens that may follow it."""
        last = [*(row.context for row in self.first), *self.contexts]
        prices = [one.row_price for one in self.passes if one.row_price is not None]
        room = self.limit - 1 - min((len(row.written) for row in self.rows), default=self.limit)
        drafts: dict[Context, list[int]] = {}
        if len(prices) == len(self.passes) and room > 0:
            texts = {context: [*self.prompts[context.prompt], *context.written] for context in dict.fromkeys(last)}
            found = self.draft.propose(list(texts.values()), len(last), max(prices), min(room, MOST_DRAFTED))
            drafts = dict(zip(texts, found, strict=True))
        self.pending = [[context.written[-1], *drafts.get(context, [])] for context in last]
        self.drafted = max(map(len, drafts.values()), default=0)

    def _go_on_with(self, passes: list[DecodePass]) -> None:
        """Other passes hold the rows from now on; nothing that was recorded of a step is right for them."""
        self.passes, self.graphs, self._arranged = passes, graphs_for(passes), None

    def _begin(self, longest: int) -> list[DecodePass]:
        modules = [self.pair.backbone1] if self.pair.shared else [self.pair.backbone1, self.pair.backbone2]
        return [begin(module, longest) for module in modules]

    def _continue(self, start: "DecodeBatch", longest: int) -> list[DecodePass]:
        """Passes whose rows go on from the rows of the same column in `start`, which has read one prompt."""
        row_of = {row.column: i for i, row in enumerate(start.first)}
        first, texts = [row_of[row.column] for row in self.first], [0] * len(self.contexts)
        rows = self._by_pass(first, texts, len(start.first))
        return [one.branch(its, longest) for one, its in zip(start.passes, rows, strict=True)]

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
        """Which context guides each patched row, which is each aligned column's own, and what is replaced where."""
        place = {context: i for i, context in enumerate(self.contexts)}
        guided_by = [place[row.context] for row in self.patched]
        aligned_at = [place[row.context] for row in self.aligned]
        arranged = ([(row.column, row.prompt) for row in self.first], guided_by, aligned_at)
        if arranged == self._arranged:
            return  # what was recorded of a step still reads the right rows
        self._arranged, self.guided_by, self.aligned_at = arranged, guided_by, aligned_at
        self.guides = torch.tensor(guided_by, device=self.device, dtype=torch.long)
        self.aligned_index = torch.tensor(aligned_at, device=self.pair.backbone2.device, dtype=torch.long)
        self.replacing.follow([row.column for row in self.patched])
        if self.graphs:
            self.graphs.clear()

    def _forward(self, read: Read) -> tuple[torch.Tensor, torch.Tensor]:
        """Final hidden states of the last position and the draft, [rows, 1 + drafted, hidden]: of M1, and of M2.

        Args:
            read: lets a pass, by its number, read what is pending, and gives these states of its rows.
        """
        # A shared prefix, which writes nothing, ends before its prompts do.
        ends = [len(row.written) + self.drafted if self.limit else -self.replacing.reach for row in self.patched]
        self.replacing.begin(ends)
        return self._shared_pass(read) if self.pair.shared else self._lockstep_pass(read)

    def _read(self, number: int, visit: InPlaceVisit) -> torch.Tensor:
        """A pass reads what is pending in its own form."""
        return self.passes[number].forward(self._shares()[number], visit, 1 + self.drafted)

    def _shared_pass(self, read: Read) -> tuple[torch.Tensor, torch.Tensor]:
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

        hidden = read(0, visit)
        return hidden[:n1], hidden[n1:]

    def _lockstep_pass(self, read: Read) -> tuple[torch.Tensor, torch.Tensor]:
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

        last = 1 + self.drafted
        nothing = torch.zeros(0, last, self.pair.backbone1.config.get_text_config().hidden_size)
        second = read(1, record) if self.contexts else nothing
        first = read(0, patch) if n1 else nothing
        return first, second

    def _patch(self, layer: int, first: torch.Tensor, second: torch.Tensor) -> None:
        """Put M2's activations of a layer, [texts, positions, n_neurons], into M1's, [rows, positions, n_neurons]."""
        own = first[len(self.plain) :]
        guide = second.index_select(0, self.guides.to(second.device))
        self.replacing.into(own, guide, layer)
