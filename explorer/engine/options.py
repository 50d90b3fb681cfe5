"""What is asked of the engine: which answers, how they are decoded, and what a contrast compares.

sweep(pair, prompts, Columns([Patch(neurons, 0.5), neurons], aligned=False), Decoding(max_new_tokens=24))
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from explorer.bounds import check_whole
from explorer.engine.drafts import PROMPT_LOOKUP, Draft
from explorer.errors import ExplorerError
from explorer.models.prompting import check_new_tokens
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet

UNPATCHED, ALIGNED = -1, -2
"""Columns that are no patch; a column from 0 is M1 with the patch of that index."""


@dataclass(frozen=True)
class Columns:
    """Which answers are written to each prompt.

    Attributes:
        patches: what to patch, each a column of its own; a bare neuron set is patched as in the paper.
        unpatched, aligned: whether M1's and M2's own answers are wanted.
    """

    patches: Sequence[NeuronSet | Patch] = ()
    unpatched: bool = True
    aligned: bool = True

    @property
    def as_patches(self) -> tuple[Patch, ...]:
        """The patches, with the paper's settings for bare neuron sets."""
        return tuple(one if isinstance(one, Patch) else Patch(one) for one in self.patches)

    @property
    def numbers(self) -> list[int]:
        """The columns in their order: unpatched, patched, aligned."""
        return [
            *([UNPATCHED] if self.unpatched else []),
            *range(len(self.patches)),
            *([ALIGNED] if self.aligned else []),
        ]


HOTTEST = 5.0
"""The highest temperature; above it nearly every token is as likely as any other."""

MAX_SEED = 2**32 - 1
MAX_SAMPLE = 2**20


@dataclass(frozen=True)
class Sampling:
    """How tokens are sampled: each from softmax(logits / temperature), cut to its nucleus (see `sampling`).

    The random numbers depend on the seed, the number of the sample and the place in the answer alone: all columns, and
    all prompts, are given the same ones.

    Attributes:
        temperature: above 0 and up to `HOTTEST`; 0 is greedy decoding.
        top_p: only the fewest likeliest tokens that have this share of the probability, above 0 and up to 1; 1 for all.
        seed: 0 to `MAX_SEED`.

    Raises:
        ExplorerError: a setting is not usable.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not _is_number(self.temperature) or not 0 <= self.temperature <= HOTTEST:
            raise ExplorerError(
                f"The temperature must be a number from 0 (greedy) to {HOTTEST:g}, not {self.temperature}."
            )
        if not _is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise ExplorerError(f"Top-p must be a number above 0 and up to 1 (all tokens), not {self.top_p}.")
        check_whole(self.seed, "The seed of the sampling", 0, MAX_SEED)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Decoding:
    """How answers are decoded: greedily, or sampled.

    Attributes:
        max_new_tokens: the limit per answer; an end token counts.
        max_rows: rows of a forward pass, about; a prompt takes one for each column, and one for M2's guide.
        draft: of earlier answers of these models; the more an answer resembles them, the sooner it is there. It changes
            no answer.
        opening: what every answer begins with, whoever writes it ("Sure, here is"); its tokens count.
        sampling: how tokens are sampled; None, or a temperature of 0, for greedy answers.

    Raises:
        ExplorerError: the limit is none.
    """

    max_new_tokens: int = 64
    max_rows: int = 64
    draft: Draft = PROMPT_LOOKUP
    opening: str = ""
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        check_new_tokens(self.max_new_tokens)

    @property
    def sampled(self) -> Sampling | None:
        """How tokens are sampled; None where the likeliest is taken."""
        return self.sampling if self.sampling is not None and self.sampling.temperature > 0 else None


COMPARED = ("paper", "shifted", "prompt", "last_prompt")
"""Which positions are compared:

- "paper": from the last prompt token to the last-but-one answer token, those that predict the answer.
- "shifted": the authors' code, one later: from the first answer token to the last.
- "prompt": every prompt token.
- "last_prompt": the last prompt token alone.
"""

ANSWERS = ("m1", "m2")
"""Whose greedy answers both models read."""


@dataclass(frozen=True)
class Comparison:
    """What a contrast compares.

    Attributes:
        max_new_tokens: the answers' length limit (paper: 256).
        positions: one of `COMPARED`.
        answers: one of `ANSWERS`.

    Raises:
        ExplorerError: an option is not usable.
    """

    max_new_tokens: int = 64
    positions: str = "paper"
    answers: str = "m1"

    def __post_init__(self) -> None:
        if self.positions not in COMPARED:
            raise ExplorerError(f"Positions must be one of {', '.join(COMPARED)}, not “{self.positions}”.")
        if self.answers not in ANSWERS:
            raise ExplorerError(f"Answers must be of m1 or m2, not “{self.answers}”.")

    @property
    def needs_answers(self) -> bool:
        """Whether the models have to answer first."""
        return self.positions in ("paper", "shifted")
