"""N-gram drafts for speculative decoding: tokens that are likely to come next, by what was written before.

    draft = NgramDraft.of(answers)                 # token ids of earlier answers
    draft.propose([prompt + written], rows=2, row_price=0.03, most=7)

Reading a few tokens beside the last one takes hardly longer than reading the last one alone: the weights, which are
what a step waits for, are read once. Decoding verifies every draft token against the model's own greedy choice: those
that are it are accepted and written in the same step, the others are rejected and rolled back, so the answer stays the
greedy one (speculative decoding, Leviathan et al. 2023; without a second model, "prompt lookup").

Draft tokens come from two places: how the text itself went on where its last one to three tokens stood before, and how
earlier answers of the same models went on after them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

LONGEST = 3
"""Tokens that a draft looks back, at most."""

REPEATED = {3: 0.7, 2: 0.6, 1: 0.3}
"""How often a text goes on as it did where its last 3, 2, 1 tokens stood before: about what the demo pair's answers to
48 red-team and everyday prompts do."""

DOUBTFUL = 0.05
"""A draft token that is accepted less often than this is not worth its place in any batch."""

_BITS = 21  # of a token id in a key: 3 × 21 fit into an int64, and no vocabulary has two million tokens


class DraftToken(NamedTuple):
    """A token, and how likely it is that it comes next."""

    token: int
    chance: float


class Draft(Protocol):
    """Whatever proposes tokens; decoding verifies each of them."""

    def propose(self, texts: Sequence[Sequence[int]], rows: int, row_price: float, most: int) -> list[list[int]]:
        """See `NgramDraft.propose`."""
        ...


@dataclass(frozen=True)
class NgramDraft:
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
    def of(cls, texts: Iterable[Sequence[int]]) -> "NgramDraft":
        """The n-grams of some texts, given as token ids; what was seen only once is left out."""
        arrays = [np.asarray(text, dtype=np.int64) + 1 for text in texts if len(text) > 1]
        found = [_most_often(arrays, n) for n in range(1, LONGEST + 1)]
        keys, tokens, chances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(keys)
        return cls(keys[order], tokens[order].astype(np.int32), chances[order].astype(np.float32))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "NgramDraft":
        """What `to_arrays` gave."""
        return cls(arrays["keys"], arrays["tokens"], arrays["chances"])

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"keys": self.keys, "tokens": self.tokens, "chances": self.chances}

    def next(self, text: Sequence[int]) -> DraftToken | None:
        """The likeliest next token of a text, given as token ids; None where nothing like it was seen."""
        best: DraftToken | None = None
        for n in range(min(LONGEST, len(text)), 0, -1):
            for token in (self._seen(text[-n:]), _repeated(text, n)):
                if token and (best is None or token.chance > best.chance):
                    best = token
        return best

    def propose(self, texts: Sequence[Sequence[int]], rows: int, row_price: float, most: int) -> list[list[int]]:
        """Draft tokens for each text, as many for each as pays; none where none does.

        Args:
            texts: token ids of each text that goes on.
            rows: rows of a step without a draft.
            row_price: what a row adds to the time of a step, as a share of a step without rows.
            most: tokens for each text, at most.

        Returns:
            For each text the same number of tokens; 0 takes the place of a token for which there is no draft.
        """
        if most < 1 or row_price * rows > 1 or not texts:  # another position costs more than it could ever bring
            return [[] for _ in texts]
        chains = [self._chain(list(text), most) for text in texts]
        best, expected, length = 1 / (1 + row_price * rows), 1.0, 0
        for k in range(1, most + 1):
            expected += sum(chain[k - 1].chance for chain in chains if len(chain) >= k) / len(texts)
            value = expected / (1 + row_price * rows * (1 + k))
            if value > best:
                best, length = value, k
        return [([t.token for t in chain] + [0] * length)[:length] for chain in chains]

    def _chain(self, text: list[int], most: int) -> list[DraftToken]:
        """The draft tokens of a text, which are put behind it, each with the chance that all up to it are accepted."""
        chain: list[DraftToken] = []
        chance = 1.0
        while len(chain) < most:
            token = self.next(text)
            if token is None or chance * token.chance < DOUBTFUL:
                break
            chance *= token.chance
            chain.append(DraftToken(token.token, chance))
            text.append(token.token)
        return chain

    def _seen(self, before: Sequence[int]) -> DraftToken | None:
        key = 0
        for token in before:
            key = (key << _BITS) + token + 1
        at = int(np.searchsorted(self.keys, key))
        if at == len(self.keys) or self.keys[at] != key:
            return None
        return DraftToken(int(self.tokens[at]), float(self.chances[at]))


def _repeated(text: Sequence[int], n: int) -> DraftToken | None:
    """How a text went on where its last n tokens stood before, the latest time that they did."""
    tail = text[-n:]
    for at in range(len(text) - 1, n - 1, -1):
        # The one token is compared first, since it alone decides almost always, and slices cost five times as much.
        if text[at - 1] == tail[-1] and text[at - n : at] == tail:
            return DraftToken(text[at], REPEATED[n])
    return None


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


PROMPT_LOOKUP = NgramDraft.of([])
"""Of no earlier answers: draft tokens come from the text itself."""
