"""Guesses at what will be written next, from what was written before; decoding checks every one of them.

    phrases = Phrases.of(answers)                 # token ids of earlier answers
    phrases.ahead([prompt + written], rows=2, row_price=0.03, most=7)

Reading a few tokens beside the last one takes hardly longer than reading the last one alone: the weights, which are
what a step waits for, are read once. Where the guessed tokens are those that the model would have written, one step
writes several; where they are not, nothing is lost but the little that reading them took, and nothing is changed: the
answer stays the greedy one (speculative decoding, Leviathan et al. 2023; without a second model, "prompt lookup").

Guesses come from two places: how the text itself went on where its last one to three tokens stood before, and how
earlier answers of the same models went on after them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LONGEST = 3
"""Tokens that a guess looks back, at most."""

REPEATED = {3: 0.7, 2: 0.6, 1: 0.3}
"""How often a text goes on as it did where its last 3, 2, 1 tokens stood before: about what the demo pair's answers to
48 red-team and everyday prompts do."""

DOUBTFUL = 0.05
"""A guess that is right less often than this is not worth its place in any batch."""

_BITS = 21  # of a token id in a key: 3 × 21 fit into an int64, and no vocabulary has two million tokens


class Guess(NamedTuple):
    """A token, and how likely it is that it comes next."""

    token: int
    chance: float


@dataclass(frozen=True)
class Phrases:
    """What followed one, two and three tokens most often in some texts.

    Attributes:
        keys: int64 [m], ascending: the tokens that came before, as one number.
        tokens: int32 [m], what followed most often.
        chances: float32 [m], the share of the times that it did; one more time is counted in which it did not.
    """

    keys: np.ndarray
    tokens: np.ndarray
    chances: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]]) -> "Phrases":
        """The phrases of some texts, given as token ids; what was seen only once is left out."""
        arrays = [np.asarray(text, dtype=np.int64) + 1 for text in texts if len(text) > 1]
        found = [_most_often(arrays, n) for n in range(1, LONGEST + 1)]
        keys, tokens, chances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(keys)
        return cls(keys[order], tokens[order].astype(np.int32), chances[order].astype(np.float32))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Phrases":
        """What `to_arrays` gave."""
        return cls(arrays["keys"], arrays["tokens"], arrays["chances"])

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"keys": self.keys, "tokens": self.tokens, "chances": self.chances}

    def next(self, text: str) -> Guess | None:
        """The likeliest next token of a text; None where nothing like it was seen.

        Args:
            text: as of `as_text`.
        """
        best: Guess | None = None
        for n in range(min(LONGEST, len(text)), 0, -1):
            for guess in (self._seen(text[-n:]), _repeated(text, n)):
                if guess and (best is None or guess.chance > best.chance):
                    best = guess
        return best

    def ahead(self, texts: Sequence[Sequence[int]], rows: int, row_price: float, most: int) -> list[list[int]]:
        """Guessed tokens for each text, as many for each as pays; none where no guess does.

        Args:
            texts: token ids of each text that goes on.
            rows: rows of a step without guesses.
            row_price: what a row adds to the time of a step, as a share of a step without rows.
            most: tokens for each text, at most.

        Returns:
            For each text the same number of tokens; 0 takes the place of a token that nobody could guess.
        """
        if most < 1 or row_price * rows > 1 or not texts:  # another position costs more than it could ever bring
            return [[] for _ in texts]
        chains = [self._chain(as_text(text), most) for text in texts]
        best, expected, length = 1 / (1 + row_price * rows), 1.0, 0
        for k in range(1, most + 1):
            expected += sum(chain[k - 1].chance for chain in chains if len(chain) >= k) / len(texts)
            value = expected / (1 + row_price * rows * (1 + k))
            if value > best:
                best, length = value, k
        return [([g.token for g in chain] + [0] * length)[:length] for chain in chains]

    def _chain(self, text: str, most: int) -> list[Guess]:
        """The guessed tokens of a text, each with the chance that it and all before it are right."""
        chain: list[Guess] = []
        chance = 1.0
        while len(chain) < most:
            guess = self.next(text)
            if guess is None or chance * guess.chance < DOUBTFUL:
                break
            chance *= guess.chance
            chain.append(Guess(guess.token, chance))
            text += chr(guess.token)
        return chain

    def _seen(self, before: str) -> Guess | None:
        key = 0
        for token in before:
            key = (key << _BITS) + ord(token) + 1
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return None
        return Guess(int(self.tokens[at]), float(self.chances[at]))


def as_text(ids: Sequence[int]) -> str:
    """Token ids as characters, one each: then Python's own search finds where they stood before."""
    return "".join(map(chr, ids))


def _repeated(text: str, n: int) -> Guess | None:
    """How a text went on where its last n tokens stood before."""
    at = text.rfind(text[-n:], 0, -1)
    return None if at < 0 else Guess(ord(text[at + n]), REPEATED[n])


def _most_often(texts: Sequence[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every n tokens that came before another one twice or more: key, what followed most often, its share."""
    long = [text for text in texts if len(text) > n]
    keys = np.concatenate([np.zeros(0, np.int64), *(_keys(text, n) for text in long)])
    after = np.concatenate([np.zeros(0, np.int64), *(text[n:] - 1 for text in long)])
    order = np.lexsort((after, keys))
    keys, after = keys[order], after[order]
    starts = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]) | (after[1:] != after[:-1])][: len(keys)])
    counts = np.diff(np.r_[starts, len(keys)])
    keys, after = keys[starts], after[starts]  # every key with each of its followers, once
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]][: len(keys)])
    total = np.add.reduceat(counts, first) if len(first) else counts
    ranked = np.lexsort((after, -counts, keys))[first] if len(first) else first
    often = counts[ranked] > 1
    return keys[first][often], after[ranked][often], (counts[ranked] / (total + 1))[often]


def _keys(text: np.ndarray, n: int) -> np.ndarray:
    """For each place in a text that n tokens (each + 1) lead to, those tokens as one number."""
    key = np.zeros(len(text) - n, np.int64)
    for i in range(n):
        key = (key << _BITS) + text[i : len(text) - n + i]
    return key


NOTHING_SEEN = Phrases.of([])
"""Of no earlier answers: guesses come from the text itself."""
