"""What a scorer is: something that gives each answer a number."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from explorer.errors import ExplorerError


class Scorer(Protocol):
    """A score of answers.

    Attributes:
        name: what `load_scorer` calls it.
        description: one sentence for people: what the number is, its unit, and how much text it reads.
    """

    name: str
    description: str

    def score(self, prompts: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """float32 [n]: the score of each answer to its prompt."""
        ...


def check_pairs(prompts: Sequence[str], texts: Sequence[str]) -> None:
    """Raises:
    ExplorerError: there is not one answer for each prompt, or a list is a single string.
    """
    if isinstance(prompts, str) or isinstance(texts, str):
        raise ExplorerError("A scorer takes lists of prompts and of answers, not single strings.")
    if len(prompts) != len(texts):
        raise ExplorerError(f"A scorer needs one answer for each prompt, but got {len(prompts)} and {len(texts)}.")
