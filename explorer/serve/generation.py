"""One generation of three answers, as the page that asked for it sees it.

A worker thread (`worker.py`) tells a generation what happens; the page drains what it was told,
again and again, and shows what it finds. Nothing here blocks, and nothing here imports torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from explorer.engine.drafts import PROMPT_LOOKUP, NgramDraft
from explorer.engine.options import Sampling
from explorer.neurons.sets import NeuronSet
from explorer.serve.job import Ended, Job, Limits, Phase

COLUMNS = ("unpatched", "patched", "aligned")
"""The answers that every generation has."""

CONTROL = "control"
"""The answer with as many random neurons patched, where it is asked for."""

SHOWN = ("unpatched", "patched", CONTROL, "aligned")
"""All of them, in the order in which they stand beside each other."""

LIVE_SCORERS = {"cost": "demo-cost", "reward": "demo-reward"}
"""What scores the answers of a generation, beside refusals, whichever scorers the run was built with."""


class End(StrEnum):
    """Why a column writes no more."""

    TOKEN = "ended"
    LIMIT = "limit"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Guard:
    """The run's safeguard: how likely M1's answer is harmful, from its neurons at the last prompt token.

    Attributes:
        neurons: what is read, k of them.
        weight: float64 [k].
        bias: added to activations · weight, which gives the log-odds of harm.
        n: answers that it was fitted on.
    """

    neurons: NeuronSet
    weight: np.ndarray
    bias: float
    n: int


@dataclass(frozen=True)
class Request:
    """What a person asked for.

    Attributes:
        prompt: checked by `check_prompt`.
        neurons: the set to patch.
        max_new_tokens: length limit of each answer.
        about: how the set was chosen, for the history: ranking, kind of set, fraction.
        guard: predicts harm before the first word; None where the run has none.
        draft: of the run's answers; what is accepted of it is written sooner.
        direction: "restore" patches M2's activations into M1, "break" M1's into M2; the columns are then M2, patched
            M2 and M1.
        strength, positions: of the patch, see `explorer.stream`.
        control: a second set, patched in the same way in a column of its own; None for no such column.
        before: what was said before the prompt, see `explorer.stream`; () for nothing.
        settings, origin: kept with the answers, see `history.Record`.
        sampling: how tokens are sampled; None for greedy answers.
        samples: how many answers each column writes; 1 where they are greedy.
        own: what was said before the prompt in a column whose conversation is its own, by column; it takes the place
            of `before`.
    """

    prompt: str
    neurons: NeuronSet
    max_new_tokens: int
    about: Mapping[str, object] = field(default_factory=dict)
    guard: Guard | None = None
    draft: NgramDraft = PROMPT_LOOKUP
    direction: str = "restore"
    strength: float = 1.0
    positions: str | int = "all"
    control: NeuronSet | None = None
    before: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    sampling: Sampling | None = None
    samples: int = 1
    own: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def before_in(self, column: str) -> tuple[tuple[str, str], ...]:
        """What was said before the prompt in a column."""
        return self.own.get(column, self.before)

    def said_in(self, column: str) -> str:
        """All that is read in a column: what was said before, and the prompt."""
        return "".join(text for _, text in self.before_in(column)) + self.prompt

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the answers, as they stand beside each other."""
        return tuple(name for name in SHOWN if name != CONTROL or self.control is not None)

    @property
    def backwards(self) -> bool:
        """Whether M1 and M2 are exchanged."""
        return self.direction == "break"

    @property
    def column_of_m1(self) -> str:
        """The column in which M1 answers alone."""
        return "aligned" if self.backwards else "unpatched"


@dataclass
class Column:
    """One answer as far as it is written.

    Attributes:
        tokens: written so far, an end token included.
        end: why it ended; None while it is written.
        cost: log-odds of harm; None where there is none (yet).
        refused: None where it is not known (yet).
        reward: higher is more helpful; None where there is none (yet).
        ids: of its tokens, in a generation.
        known: whether it was known from before, and not written for this.
    """

    text: str = ""
    tokens: int = 0
    end: End | None = None
    cost: float | None = None
    refused: bool | None = None
    reward: float | None = None
    ids: list[int] = field(default_factory=list)
    known: bool = False

    def take(self, piece: "Piece") -> None:
        """Add what was written in a step."""
        self.text += piece.text
        self.ids.append(piece.id)
        self.tokens += 1
        self.known = piece.known
        self.end = End.TOKEN if piece.ended else None


# -- what a worker tells -------------------------------------------------------------------------


@dataclass(frozen=True)
class Foreseen:
    """How likely M1's answer is harmful, 0 to 1, before its first word."""

    probability: float


class Piece(NamedTuple):
    """What a column wrote in a step: a piece of text, by which token, whether it ended with it, and in which sample;
    `known` where it had been written before, for somebody else."""

    text: str
    ended: bool
    id: int
    sample: int = 0
    known: bool = False


@dataclass(frozen=True)
class Wrote:
    """A step: what each column wrote that did write; and the time since the start."""

    pieces: Mapping[str, Piece]
    seconds: float


@dataclass(frozen=True)
class Scored:
    """Scores by column of one sample; `note` says why there is no cost or no reward."""

    costs: Mapping[str, float | None]
    refused: Mapping[str, bool | None]
    note: str = ""
    rewards: Mapping[str, float | None] = field(default_factory=dict)
    sample: int = 0


class Generation(Job):
    """A generation and what is known of it so far; see `Job`.

    Attributes:
        request: what was asked for.
        samples: the answers of each sample, by the names of `Request.columns`.
        foreseen: how likely M1's answer is harmful, told before its first word; None where nothing predicts it.
        steps, seconds: how often columns wrote, at most one token each, and the time until the latest of it.
        note: one sentence where there is no cost or no reward, else "".
        stopped: whether a person stopped it.
    """

    def __init__(self, request: Request, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.request = request
        self.samples = [{name: Column() for name in request.columns} for _ in range(request.samples)]
        self.foreseen: float | None = None
        self.steps = 0
        self.seconds = 0.0
        self.note = ""
        self.stopped = False

    # -- for the page ----------------------------------------------------------------------------

    @property
    def columns(self) -> dict[str, Column]:
        """The answers of the first sample, mostly the only one."""
        return self.samples[0]

    @property
    def answers(self) -> list[Column]:
        """All answers of all samples."""
        return [column for sample in self.samples for column in sample.values()]

    @property
    def tokens(self) -> int:
        """Tokens written so far, all columns together."""
        return sum(column.tokens for column in self.answers)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second of the columns that are written, the reading of the prompt included; None before the first
        step, and where all are known."""
        written = sum(column.tokens for column in self.answers if not column.known)
        return written / self.seconds if written and self.seconds else None

    @property
    def written(self) -> list[str]:
        """The names of the columns that are written for this; the others were known."""
        return [name for name, column in self.columns.items() if not column.known]

    def told_as(self, pieces: Mapping[Any, list["Piece"]], seconds: float) -> list["Wrote"]:
        """What a step has written, as the page takes it: at most one token of each column at a time."""
        most = max(map(len, pieces.values()), default=0)
        return [Wrote({n: its[i] for n, its in pieces.items() if i < len(its)}, seconds) for i in range(most)]

    def stop(self) -> None:
        """Write no more, from this moment on; what is written stays and is still scored."""
        with self._lock:  # nothing is told between the last word that counts and the stop
            self._halt.set()
        self.drain()
        if not self.active:
            return
        self.stopped = True
        self._close(End.STOPPED)
        if any(column.text for column in self.answers):
            self.phase = Phase.SCORING
        else:
            self.drop()

    def drop(self) -> None:
        """Forget it: the worker is told to stop and the page no longer waits for it."""
        self._close(End.STOPPED)
        super().drop()

    # -- inside ----------------------------------------------------------------------------------

    def _take(self, event: object) -> None:
        if isinstance(event, Ended):
            self._close(End.STOPPED if event.problem or event.notice or self.stopped else End.LIMIT)
        super()._take(event)
        match event:
            case Foreseen(probability):
                self.foreseen = probability
            case Wrote(pieces, seconds):
                self.steps, self.seconds = self.steps + 1, seconds
                for name, piece in pieces.items():
                    self.samples[piece.sample][name].take(piece)
            case Scored(costs, refused, note, rewards, sample):
                self.note = note
                for name, column in self.samples[sample].items():
                    column.cost, column.refused = costs.get(name), refused.get(name)
                    column.reward = rewards.get(name)

    def _close(self, end: End) -> None:
        for column in self.answers:
            column.end = column.end or end
