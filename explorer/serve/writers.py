"""What writes the answers of several jobs at once: the engine's joint batch, or a stream of one job after the other.

writers = JointWriters()
if writers.room_for(job):
    writers.begin(pair, job)
for job, pieces, ended in writers.step(): ...
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from explorer.neurons.sets import NeuronSet
from explorer.serve.cores import leave_a_core
from explorer.serve.generation import CONTROL, SHOWN, Generation, Piece, Request
from explorer.serve.known_answers import KnownAnswers
from explorer.serve.strip import Strip

if TYPE_CHECKING:
    from explorer.engine.decoding import Emitted
    from explorer.engine.joining import Asked, Joint
    from explorer.engine.patching import Step, Token
    from explorer.models.pair import Pair
    from explorer.models.prompting import TextStream
    from explorer.neurons.sets import NeuronSet

Written = Generation | Strip
"""A job that writes answers."""

Pieces = Mapping[Any, list[Piece]]
"""What a step has added to each column of a job, by the name that the job has for it: a text or a fraction."""

Stream = Callable[["Pair", Request], Iterator["Step"]]

ROWS = 32
"""Rows that are written at once, about: up to there, a step of a small model takes little longer than with four."""


class Writers(Protocol):
    """Writes the answers of the jobs that it has taken."""

    def room_for(self, job: Written) -> bool:
        """Whether this job may begin now."""
        ...

    def begin(self, pair: "Pair", job: Written) -> tuple[Pieces, bool]:
        """Take a job: what its columns begin with, and whether they have ended with it.

        Raises:
            ExplorerError: what it asks for is not usable; the others go on.
        """
        ...

    def step(self) -> list[tuple[Written, Pieces, bool]]:
        """A step of all: what each job that wrote has written, and whether it has ended."""
        ...

    def leave(self, job: Written) -> None:
        """Write no more for a job."""
        ...

    def close(self) -> None:
        """Write no more for any."""
        ...


@dataclass
class _Seat:
    """A job in the joint batch: where it is, and how its tokens become pieces of text.

    Attributes:
        asked: all that it asks for; of several samples, so many are written at once as fit, `at_once`.
        writers: what writes each column, see `known_answers.writers_of`.
        known: takes what it writes; None where answers are sampled.
        number: of its request that is being written now.
        left: samples that are still to be begun.
        open: columns that still write, with their samples.
        written: tokens of each column, where answers are kept.
    """

    job: Written
    joint: "Joint"
    pair: "Pair"
    asked: "Asked"
    at_once: int
    names: Mapping[int, Any]
    left: list[int]
    writers: Mapping[int, Hashable] = field(default_factory=dict)
    known: KnownAnswers | None = None
    number: int = 0
    texts: "dict[tuple[Any, int], TextStream]" = field(default_factory=dict)
    open: set[tuple[int, int]] = field(default_factory=set)
    written: dict[int, list[int]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """About how many rows it takes."""
        return self.asked.rows // len(self.asked.samples) * self.at_once

    def begin(self) -> "list[Emitted]":
        """Let the next samples join; their first tokens."""
        from explorer.models.prompting import TextStream

        now, self.left = self.left[: self.at_once], self.left[self.at_once :]
        self.open = {(column, sample) for column in self.asked.what.numbers for sample in now}
        self.texts = {(name, sample): TextStream(self.pair.tokenizer) for name in self.names.values() for sample in now}
        self.number, tokens = self.joint.join(replace(self.asked, samples=now))
        return tokens

    def pieces(self, tokens: "list[Emitted]") -> Pieces:
        """The tokens of a step as text; where its samples end with it, the first of the next ones too."""
        out: dict[Any, list[Piece]] = {}
        self._read(tokens, out)
        while not self.open and self.left and self.joint.takes_another:
            self._read(self.begin(), out)
        return out

    def _read(self, tokens: "list[Emitted]", out: dict[Any, list[Piece]]) -> None:
        stop_ids = self.pair.stop_ids
        for column, sample, token, ended in tokens:
            name = self.names[column]
            text = self.texts[name, sample].push(token, ended)
            out.setdefault(name, []).append(Piece(text, token in stop_ids, token, sample))
            if ended:
                self.open.discard((column, sample))
            if self.known is not None:
                self.written.setdefault(column, []).append(token)
                if ended:
                    ids = self.asked.ids_of(column)
                    self.known.keep(self.pair, self.writers[column], ids, self.written[column])


class JointWriters:
    """Continuous batching (`engine.joining`): a job joins the batch that is being written as soon as there is room."""

    def __init__(self, rows: int = ROWS) -> None:
        self._rows = rows
        self._joints: dict[str, Joint] = {}  # by direction: the two have M1 and M2 exchanged
        self._seats: list[_Seat] = []
        self._known = KnownAnswers()

    def room_for(self, job: Written) -> bool:
        """See `Writers.room_for`."""
        joint = self._joints.get(job.request.direction)
        taken = sum(seat.rows for seat in self._seats)
        fits = taken + len(_patches(job)) * 2 + 2 <= self._rows
        return not self._seats or (fits and (joint is None or joint.takes_another))

    def begin(self, pair: "Pair", job: Written) -> tuple[Pieces, bool]:
        """See `Writers.begin`."""
        from explorer.engine.joining import Joint

        way = job.request.direction
        joint = self._joints.get(way)
        if joint is None:
            joint = self._joints[way] = Joint(pair.reversed() if way == "break" else pair)
        asked, names = _asked(joint.pair, job)
        writers: Mapping[int, Hashable] = {}
        recalled: dict[Any, list[Piece]] = {}
        known = self._known if asked.how.sampling is None else None
        if known is not None:
            rest = known.recall(pair, way, asked)
            recalled = {names[column]: _whole(pair, tokens) for column, tokens in rest.known.items()}
            names = {new: names[old] for new, old in rest.columns.items()}
            asked, writers = rest.asked, rest.writers
        if not names:
            return recalled, True
        samples = len(asked.samples)
        free = self._rows - sum(seat.rows for seat in self._seats)
        at_once = min(samples, max(1, free // (asked.rows // samples)))
        seat = _Seat(job, joint, pair, asked, at_once, names, list(asked.samples), writers, known)
        pieces = seat.pieces(seat.begin())
        if seat.open:
            self._seats.append(seat)
        return {**recalled, **pieces}, not seat.open

    def step(self) -> list[tuple[Written, Pieces, bool]]:
        """See `Writers.step`."""
        written = []
        for joint in [joint for joint in self._joints.values() if joint.active]:
            by_number = {seat.number: seat for seat in self._seats if seat.joint is joint}
            for number, tokens in joint.step().items():
                seat = by_number[number]
                written.append((seat.job, seat.pieces(tokens), not seat.open))
        self._seats = [seat for seat in self._seats if seat.open]
        return written

    def leave(self, job: Written) -> None:
        """See `Writers.leave`."""
        for seat in self._seats:
            if seat.job is job:
                seat.joint.leave(seat.number)
        self._seats = [seat for seat in self._seats if seat.job is not job]

    def close(self) -> None:
        """See `Writers.close`."""
        self._joints.clear()
        self._seats.clear()


class StreamWriters:
    """One generation at a time, by a function that streams the steps of its request."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._job: Written | None = None
        self._steps: Iterator[Pieces] = iter(())

    def room_for(self, job: Written) -> bool:
        """See `Writers.room_for`."""
        return self._job is None

    def begin(self, pair: "Pair", job: Written) -> tuple[Pieces, bool]:
        """See `Writers.begin`."""
        self._steps = self._steps_of(pair, job)
        self._job = job
        return {}, False

    def step(self) -> list[tuple[Written, Pieces, bool]]:
        """See `Writers.step`."""
        if self._job is None:
            return []
        pieces = next(self._steps, None)
        if pieces is not None:
            return [(self._job, pieces, False)]
        job, self._job = self._job, None
        return [(job, {}, True)]

    def leave(self, job: Written) -> None:
        """See `Writers.leave`."""
        if self._job is job:
            self.close()

    def close(self) -> None:
        """See `Writers.close`."""
        self._job, self._steps = None, iter(())

    def _steps_of(self, pair: "Pair", job: Written) -> Iterator[Pieces]:
        assert isinstance(job, Generation)
        return ({n: [p] for n, p in _pieces(s, pair.stop_ids).items()} for s in self._stream(pair, job.request))


def stream_request(pair: "Pair", request: Request) -> "Iterator[Step]":
    """The steps of a request, by the engine, with nothing beside it."""
    from explorer.engine.patching import stream

    leave_a_core()
    return stream(
        pair.reversed() if request.backwards else pair,
        request.prompt,
        request.neurons,
        request.max_new_tokens,
        request.draft,
        strength=request.strength,
        positions=request.positions,
        control=request.control,
        before=request.before,
        sampling=request.sampling,
    )


def _patches(job: Written) -> dict[Any, NeuronSet]:
    """The neuron sets that a job patches, by the names of their columns."""
    if isinstance(job, Strip):
        return dict(job.request.sets.items())
    found: dict[Any, NeuronSet] = {"patched": job.request.neurons}
    return found if job.request.control is None else found | {CONTROL: job.request.control}


def _asked(pair: "Pair", job: Written) -> "tuple[Asked, dict[int, Any]]":
    """What a job asks of the engine, and the names of its columns.

    Raises:
        ExplorerError: the prompt, the length, a set, the strength or the positions are not usable.
    """
    from explorer.engine.joining import Asked
    from explorer.engine.options import ALIGNED, UNPATCHED, Columns, Decoding
    from explorer.neurons.patch import Patch
    from explorer.serve import strip

    request, sets = job.request, _patches(job)
    plain = (strip.UNPATCHED, strip.ALIGNED) if isinstance(job, Strip) else ("unpatched", "aligned")
    patches = [Patch(ns, request.strength, request.positions) for ns in sets.values()]
    names: dict[int, Any] = {UNPATCHED: plain[0], **dict(enumerate(sets)), ALIGNED: plain[1]}
    how = Decoding(request.max_new_tokens, draft=request.draft, sampling=request.sampling)

    def encoded(before: tuple[tuple[str, str], ...]) -> list[int]:
        return pair.encode_behind(before, request.prompt, request.max_new_tokens)

    samples: list[int] = [0]
    own: dict[int, list[int]] = {}
    if isinstance(request, Request):
        samples = list(range(request.samples))
        own = {column: encoded(request.own[name]) for column, name in names.items() if name in request.own}
    return Asked(encoded(request.before), Columns(patches), how, samples, own), names


def _whole(pair: "Pair", tokens: list[int]) -> list[Piece]:
    """An answer that was known, in pieces."""
    from explorer.models.prompting import TextStream

    text, last = TextStream(pair.tokenizer), len(tokens) - 1
    return [Piece(text.push(t, i == last), t in pair.stop_ids, t, known=True) for i, t in enumerate(tokens)]


def waves_of(job: Written, rows: int = ROWS) -> int:
    """How often as many samples of a job as fit into so many rows have to be written, one after the other."""
    if isinstance(job, Strip):
        return 1
    at_once = max(1, rows // (len(_patches(job)) * 2 + 2))
    return -(-job.request.samples // at_once)


def _pieces(step: "Step", stop_ids: frozenset[int]) -> dict[str, Piece]:
    tokens: dict[str, Token | None] = {name: getattr(step, name) for name in SHOWN}
    written = {name: token for name, token in tokens.items() if token is not None}
    return {name: Piece(token.text, token.id in stop_ids, token.id) for name, token in written.items()}
