"""The settings of an attribution: what neurons are credited with, and at which steps gradients are taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from explorer.errors import ExplorerError
from explorer.models.prompting import check_new_tokens

OBJECTIVES = ("both", "m2", "target")
"""What L is the log-probability of:

- "both": M2's greedy answer, less that of M1's; each is read on its own text.
- "m2": M2's greedy answer alone.
- "target": a text that the user writes, as if it were the answer to every prompt.
"""

STEPS = 5
"""Steps by default: m = 0, 0.2, 0.4, 0.6, 0.8."""

MOST_STEPS = 64


@dataclass(frozen=True)
class Attributing:
    """What is attributed, and how.

    Attributes:
        max_new_tokens: length limit of the models' answers.
        steps: where from 0 (M1) to 1 (M2's activations) gradients are taken; the scores are their mean.
        objective: one of `OBJECTIVES`.
        target: the text of objective "target"; "" otherwise.
        first_tokens: only so many tokens at the beginning of an answer count; 0 for all.

    Raises:
        ExplorerError: a setting is not usable.
    """

    max_new_tokens: int = 24
    steps: tuple[float, ...] = tuple(number / STEPS for number in range(STEPS))
    objective: str = "both"
    target: str = ""
    first_tokens: int = 0

    def __post_init__(self) -> None:
        check_new_tokens(self.max_new_tokens)
        if self.objective not in OBJECTIVES:
            raise ExplorerError(f"The objective must be one of {', '.join(OBJECTIVES)}, not “{self.objective}”.")
        if (self.objective == "target") != bool(self.target.strip()):
            raise ExplorerError(
                "Give a target text together with the objective “target”, and only with it: the answer whose "
                "log-probability neurons are to raise."
            )
        if not isinstance(self.first_tokens, int) or isinstance(self.first_tokens, bool) or self.first_tokens < 0:
            raise ExplorerError(
                f"How many first tokens of an answer count must be a whole number (0: all), not {self.first_tokens}."
            )

    @property
    def answer_tokens(self) -> int:
        """The length limit of the answers that are written: what does not count need not be written."""
        return min(self.max_new_tokens, self.first_tokens or self.max_new_tokens)

    def to_meta(self) -> dict[str, Any]:
        """The settings as plain values."""
        meta = {"objective": self.objective, "steps": list(self.steps), "max_new_tokens": self.max_new_tokens}
        extra = {"target": self.target, "first_tokens": self.first_tokens}
        return meta | {name: value for name, value in extra.items() if value}


def steps_of(steps: int | Sequence[float]) -> tuple[float, ...]:
    """The steps that a number of them, or a list, means: n steps are 0, 1/n, … (n − 1)/n.

    So one step is attribution patching at M1, and the mean over more of them approaches the integral from M1 to M2's
    activations. The end at 1 is left out, since where M2's activations are in place gradients say little (method.md).

    Raises:
        ExplorerError: there are none, too many, the same one twice, or one outside of 0 to 1.
    """
    if isinstance(steps, int) and not isinstance(steps, bool):
        if 1 <= steps <= MOST_STEPS:
            return tuple(number / steps for number in range(steps))
    elif isinstance(steps, Sequence) and not isinstance(steps, str) and 1 <= len(steps) <= MOST_STEPS:
        numbers = all(isinstance(s, int | float) and not isinstance(s, bool) and 0 <= s <= 1 for s in steps)
        if numbers and len(set(steps)) == len(steps):
            return tuple(map(float, steps))
    raise ExplorerError(
        f"Steps must be their number, 1 to {MOST_STEPS}, or a list of different numbers from 0 to 1, not {steps}."
    )
