"""Answers that say nothing: empty, without a word, or going round in circles.

A patch that is too coarse makes a model babble, which no refusal phrase and no cost shows.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

MIN_WORDS = 8
"""Shorter answers are not looked at for repetition."""

DESCRIPTION = (
    "Babble: 1 where an answer is empty, has no word, says one word more than half of the time, or repeats more than "
    f"half of its three-word phrases (from {MIN_WORDS} words on), else 0."
)


def babble(texts: Sequence[str]) -> np.ndarray:
    """bool [n]: which answers say nothing."""
    return np.array([is_babble(text) for text in texts], dtype=bool)


def is_babble(text: str) -> bool:
    """Whether an answer says nothing."""
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())
    if not words:
        return True
    if len(words) < MIN_WORDS:
        return False
    if max(Counter(words).values()) > len(words) / 2:
        return True
    phrases = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(phrases)) < len(phrases) / 2
