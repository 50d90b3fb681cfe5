"""One prompt answered at several shares of patched neurons at once, as the page that asked for it sees it.

strip = Strip(StripRequest(prompt, sets, 40))
service.worker.submit(strip)        # in the same queue as generations
strip.drain()                       # the page, again and again
strip.frames[0.01].text

All answers are rows of one batch, so that eight take little longer than three.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.engine.drafts import PROMPT_LOOKUP, NgramDraft
from explorer.engine.options import Sampling
from explorer.neurons.sets import NeuronSet
from explorer.serve.generation import Column, End, Piece
from explorer.serve.job import Ended, Job, Limits

FRACTIONS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.2, 1.0)
"""Shares of all neurons that are patched; beside them stand the two models' own answers."""

UNPATCHED, ALIGNED = 0.0, -1.0
"""What the two models' own frames are called among the fractions."""


@dataclass(frozen=True)
class StripRequest:
    """What a person asked for.

    Attributes:
        prompt: checked by `check_prompt`.
        sets: the set to patch at each fraction.
        max_new_tokens: length limit of each answer.
        direction, strength, positions, draft, before: see `generation.Request`.
        sampling: how tokens are sampled, with the same random numbers in all frames; None for greedy answers.
    """

    prompt: str
    sets: Mapping[float, NeuronSet]
    max_new_tokens: int
    direction: str = "restore"
    strength: float = 1.0
    positions: str | int = "all"
    draft: NgramDraft = PROMPT_LOOKUP
    before: tuple[tuple[str, str], ...] = ()
    sampling: Sampling | None = None


@dataclass(frozen=True)
class Grew:
    """What frames wrote in a step, by fraction."""

    pieces: Mapping[float, list[Piece]]


class Strip(Job):
    """A film strip and what is known of it so far; see `Job`.

    Attributes:
        request: what was asked for.
        frames: the answers so far: unpatched, at each fraction, and aligned.
    """

    what = "film strip"
    button = "Film strip"

    def __init__(self, request: StripRequest, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.request = request
        self.frames = {fraction: Column() for fraction in (UNPATCHED, *request.sets, ALIGNED)}

    @property
    def share(self) -> float:
        """How far the longest answer is, 0 to 1."""
        return max(column.tokens for column in self.frames.values()) / self.request.max_new_tokens

    def told_as(self, pieces: Mapping[Any, list[Piece]], seconds: float) -> list[Grew]:
        """What a step has written, as the page takes it."""
        return [Grew(pieces)] if pieces else []

    def _take(self, event: object) -> None:
        super()._take(event)
        match event:
            case Grew(pieces):
                for fraction, written in pieces.items():
                    for piece in written:
                        self.frames[fraction].take(piece)
            case Ended(problem, notice):
                for column in self.frames.values():
                    column.end = column.end or (End.STOPPED if problem or notice else End.LIMIT)
