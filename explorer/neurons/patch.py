"""What is patched: which neurons, how strongly, and at which positions of a text.

Patch(changes.top(fraction=0.01))                                   # the paper's patch
Patch(neurons, strength=0.5, positions="prompt")
Patch(neurons, positions=8)                                         # the first 8 tokens of the answer
Patch(neurons, positions="answer[3:]")                              # the answer without its first 3 tokens
"""

import math
import re
from dataclasses import dataclass

from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet

POSITIONS = ("all", "prompt", "last_prompt", "answer")
"""The positions that may be patched, by name; a whole number k means the first k tokens of the answer.

A position is that of the token that is read there: "answer" begins behind the prompt's last token, whose own position
("last_prompt") is where the answer's first token is predicted. In an encoder–decoder the prompt's positions are the
encoder's and the decoder's start token, which is its "last_prompt" as well.
"""

SLICES = ("prompt[-k]", "prompt+answer[:k]", "answer[k:]")
"""Positions with a number in them, as Python writes a slice:

- "prompt[-k]": the prompt's k-th token from its end, alone; none where the prompt is shorter.
- "prompt+answer[:k]": the prompt and the first k tokens of the answer.
- "answer[k:]": the answer without its first k tokens.
"""

_SLICE = re.compile(r"(prompt\[-|prompt\+answer\[:|answer\[:?)(\d{1,6})(:?)\]")

DIRECTIONS = ("restore", "break")
"""M2's activations into M1 restore (are the neurons sufficient?); M1's into M2 break (are they necessary?)."""

WEAKEST, STRONGEST = -1.0, 2.0


@dataclass(frozen=True)
class Patch:
    """Activations a1 + strength × (a2 − a1) in place of M1's, for some neurons at some positions.

    Attributes:
        neurons: which.
        strength: 1 is the paper's patch, 0 none; above 1 overdrives, below 0 reverses (−1 to 2).
        positions: one of `POSITIONS` or of `SLICES`, or how many of the answer's first tokens.

    Raises:
        ExplorerError: the strength or the positions are none.
    """

    neurons: NeuronSet
    strength: float = 1.0
    positions: str | int = "all"

    def __post_init__(self) -> None:
        check_strength(self.strength)
        object.__setattr__(self, "positions", check_positions(self.positions))

    @property
    def is_plain(self) -> bool:
        """Whether it is the paper's: the other model's own activations, everywhere."""
        return self.strength == 1 and self.positions == "all"

    @property
    def changes_nothing(self) -> bool:
        """Whether it leaves every activation as it is."""
        return self.strength == 0 or len(self.neurons) == 0

    @property
    def span(self) -> tuple[float, float]:
        """From which position to before which it reaches, counted from the first token behind the prompt."""
        if isinstance(self.positions, int):
            return (0, self.positions)
        spans = {"prompt": (-math.inf, 0), "last_prompt": (-1, 0), "answer": (0, math.inf)}
        if found := _SLICE.fullmatch(self.positions):
            k = int(found[2])
            if found[1] == "prompt[-":
                return (-k, 1 - k)
            return (k, math.inf) if found[3] else (-math.inf, k)
        return spans.get(self.positions, (-math.inf, math.inf))

    @property
    def reach(self) -> int:
        """How far before the answer lies a position of the prompt that is told from those before it; 0 for none."""
        start = self.span[0]
        return -int(start) if -math.inf < start < 0 else 0


def check_strength(strength: object) -> float:
    """A strength of patching.

    Raises:
        ExplorerError: it is not a number from −1 to 2.
    """
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not (number and WEAKEST <= strength <= STRONGEST):  # type: ignore[operator]
        raise ExplorerError(
            f"The strength must be a number from {WEAKEST:g} to {STRONGEST:g} (1 is the paper's patch, 0 none), "
            f"not {strength}."
        )
    return float(strength)  # type: ignore[arg-type]


def check_positions(positions: object) -> str | int:
    """Positions to patch; a number may come as text, and what has a name of its own gets that: "prompt[-1]".

    Raises:
        ExplorerError: they are neither one of `POSITIONS`, nor of `SLICES`, nor a whole number from 1.
    """
    if isinstance(positions, str):
        positions = _sliced(positions)
    if isinstance(positions, str) and positions.isdecimal():
        positions = int(positions)
    if isinstance(positions, int) and not isinstance(positions, bool) and positions >= 1:
        return positions
    if isinstance(positions, str) and (positions in POSITIONS or _SLICE.fullmatch(positions)):
        return positions
    raise ExplorerError(
        f"Positions must be one of {', '.join(POSITIONS)}, or how many first tokens of the answer (1 or more), or "
        f"{', '.join(SLICES)}, not “{str(positions)[:60]}”."
    )


def _sliced(positions: str) -> str:
    """Positions with a number in them in their shortest form, for another check to take or refuse; else as they are."""
    found = _SLICE.fullmatch(positions)
    if not found:
        return positions
    lead, k, tail = found[1], int(found[2]), found[3]
    if lead == "answer[:" and not tail:
        return str(k)
    if lead == "answer[" and tail:
        return f"answer[{k}:]" if k else "answer"
    if lead == "prompt+answer[:" and not tail:
        return f"prompt+answer[:{k}]" if k else "prompt"
    if lead == "prompt[-" and k and not tail:
        return "last_prompt" if k == 1 else f"prompt[-{k}]"
    return ""
