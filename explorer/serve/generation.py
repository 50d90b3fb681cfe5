"""One generation of three answers, as the page that asked for it sees it.

A worker thread (`worker.py`) tells a generation what happens; the page drains what it was told,
again and again, and shows what it finds. Nothing here blocks, and nothing here imports torch.
"""

import queue
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from explorer.engine.drafts import PROMPT_LOOKUP, NgramDraft
from explorer.neurons.sets import NeuronSet

COLUMNS = ("unpatched", "patched", "aligned")

LIVE_SCORERS = {"cost": "demo-cost", "reward": "demo-reward"}
"""What scores the answers of a generation, beside refusals, whichever scorers the run was built with."""


class Phase(StrEnum):
    """Where a generation is."""

    WAITING = "waiting"
    LOADING = "loading"
    WRITING = "writing"
    SCORING = "scoring"
    DONE = "done"


class End(StrEnum):
    """Why a column writes no more."""

    TOKEN = "ended"
    LIMIT = "limit"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds.

    Attributes:
        waiting: in the queue.
        loading: without a word while the models load.
        silence: without a word while the models write or the answers are scored.
        running: writing, all steps together.
        undrained: with no page that looks: then it was left.
    """

    waiting: float = 120.0
    loading: float = 600.0
    silence: float = 120.0
    running: float = 120.0
    undrained: float = 15.0


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
    """

    text: str = ""
    tokens: int = 0
    end: End | None = None
    cost: float | None = None
    refused: bool | None = None
    reward: float | None = None


# -- what a worker tells -------------------------------------------------------------------------


@dataclass(frozen=True)
class Began:
    """A phase has begun."""

    phase: Phase


@dataclass(frozen=True)
class Loading:
    """How far the models are."""

    what: str
    share: float


@dataclass(frozen=True)
class Foreseen:
    """How likely M1's answer is harmful, 0 to 1, before its first word."""

    probability: float


@dataclass(frozen=True)
class Wrote:
    """A step: for each column that wrote, the piece of text and whether it ended; and the time since the start."""

    pieces: Mapping[str, tuple[str, bool]]
    seconds: float


@dataclass(frozen=True)
class Scored:
    """Scores by column; `note` says why there is no cost or no reward."""

    costs: Mapping[str, float | None]
    refused: Mapping[str, bool | None]
    note: str = ""
    rewards: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """The generation is over; `problem` is one sentence where it failed, `notice` one where it was cut short."""

    problem: str = ""
    notice: str = ""


Event = Began | Loading | Foreseen | Wrote | Scored | Ended


class Generation:
    """A generation and what is known of it so far.

    Attributes:
        request: what was asked for.
        id: unique.
        phase: where it is.
        columns: the three answers, by the names in `COLUMNS`.
        loading: what is being loaded, and the share that is done.
        foreseen: how likely M1's answer is harmful, told before its first word; None where nothing predicts it.
        steps, seconds: how often columns wrote, at most one token each, and the time until the latest of it.
        problem: one sentence where it failed, else "".
        notice: one sentence where it was cut short, else "".
        note: one sentence where there is no cost or no reward, else "".
        stopped: whether a person stopped it.
    """

    def __init__(self, request: Request, limits: Limits | None = None) -> None:
        self.request = request
        self.limits = limits or Limits()
        self.id = uuid.uuid4().hex
        self.phase = Phase.WAITING
        self.columns = {name: Column() for name in COLUMNS}
        self.loading: tuple[str, float] = ("Starting", 0.0)
        self.foreseen: float | None = None
        self.steps = 0
        self.seconds = 0.0
        self.problem = self.notice = self.note = ""
        self.stopped = False
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._halt = threading.Event()
        self._dropped = False
        self._heard = self._drained = time.monotonic()

    # -- for the page ----------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether there is more to come."""
        return self.phase is not Phase.DONE

    @property
    def tokens(self) -> int:
        """Tokens written so far, all columns together."""
        return sum(column.tokens for column in self.columns.values())

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens of all columns a second, the reading of the prompt included; None before the first step."""
        return self.tokens / self.seconds if self.seconds else None

    def drain(self) -> None:
        """Take in what the worker has told since the last time; a generation that has hung is given up."""
        now = self._drained = time.monotonic()
        while self.active:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            self._heard = now
            self._take(event)
        if self.active and now - self._heard > self._patience():
            self._give_up()

    def stop(self) -> None:
        """Write no more, from this moment on; what is written stays and is still scored."""
        with self._lock:  # nothing is told between the last word that counts and the stop
            self._halt.set()
        self.drain()
        if not self.active:
            return
        self.stopped = True
        self._close(End.STOPPED)
        if any(column.text for column in self.columns.values()):
            self.phase = Phase.SCORING
        else:
            self.drop()

    def drop(self) -> None:
        """Forget it: the worker is told to stop and the page no longer waits for it."""
        self._dropped = True
        self._halt.set()
        self._close(End.STOPPED)
        self.phase = Phase.DONE

    # -- for the worker --------------------------------------------------------------------------

    @property
    def unwanted(self) -> bool:
        """Whether nobody waits for it any more: it was dropped, or its page was closed."""
        return self._dropped or time.monotonic() - self._drained > self.limits.undrained

    @property
    def halted(self) -> bool:
        """Whether it must write no more."""
        return self._halt.is_set() or self.unwanted

    def why_left(self) -> str:
        """One sentence for a page that comes back to a generation it left; "" where a person stopped it."""
        return "" if self._halt.is_set() else "The generation ended early because its page was left."

    def tell(self, event: Event) -> bool:
        """Tell the page, unless it has been stopped; whether it was told."""
        with self._lock:
            if self._halt.is_set():
                return False
            self._events.put(event)
            return True

    def tell_anyway(self, event: Event) -> None:
        """Tell the page, stopped or not: scores, and the end."""
        self._events.put(event)

    # -- inside ----------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        match event:
            case Began(phase):
                self.phase = phase
            case Loading(what, share):
                self.loading = (what, share)
            case Foreseen(probability):
                self.foreseen = probability
            case Wrote(pieces, seconds):
                self.steps, self.seconds = self.steps + 1, seconds
                for name, (piece, ended) in pieces.items():
                    column = self.columns[name]
                    column.text += piece
                    column.tokens += 1
                    column.end = End.TOKEN if ended else None
            case Scored(costs, refused, note, rewards):
                self.note = note
                for name, column in self.columns.items():
                    column.cost, column.refused = costs.get(name), refused.get(name)
                    column.reward = rewards.get(name)
            case Ended(problem, notice):
                self.problem, self.notice = problem, notice
                self._close(End.STOPPED if problem or notice or self.stopped else End.LIMIT)
                self.phase = Phase.DONE

    def _close(self, end: End) -> None:
        for column in self.columns.values():
            column.end = column.end or end

    def _patience(self) -> float:
        if self.phase is Phase.WAITING:
            return self.limits.waiting
        return self.limits.loading if self.phase is Phase.LOADING else self.limits.silence

    def _give_up(self) -> None:
        seconds = self._patience()
        if self.phase is Phase.WAITING:
            self.problem = (
                f"Other generations kept the model busy for more than {seconds:.0f} s; press Generate to queue again."
            )
        elif self.phase is Phase.LOADING:
            self.problem = f"The models did not load within {seconds:.0f} s; the server's log may say why."
        else:
            self.problem = f"The model gave no sign of life for {seconds:.0f} s; press Generate to try again."
        self.drop()
