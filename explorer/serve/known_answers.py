"""The models' own greedy answers, kept: whatever is patched, they answer a prompt as they did before.

known = KnownAnswers(pair)
known.keep(model, ids, tokens)
known.of(model, ids, 64)            # token ids, or None

Whoever tries one share of neurons after the other at the same prompt waits for the patched answers alone, and so does
whoever tries a prompt that others have tried.
"""

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.serve.lately import Lately

if TYPE_CHECKING:
    from explorer.models.pair import Pair

MOST = 1_000
"""Answers that are kept."""


class KnownAnswers:
    """Greedy answers of a pair's models with nothing patched, by model (1 or 2) and prompt."""

    def __init__(self, pair: "Pair", most: int = MOST) -> None:
        self._pair = weakref.ref(pair)
        self._stop_ids = pair.stop_ids
        self._answers: Lately[tuple[int, tuple[int, ...]], list[int]] = Lately(most)

    def are_of(self, pair: "Pair") -> bool:
        """Whether they are this pair's answers: another one of the same name may have been loaded since."""
        return self._pair() is pair

    def of(self, model: int, ids: Sequence[int], max_new_tokens: int) -> list[int] | None:
        """The token ids of an answer of at most so many tokens, its end token included; None where it is not known.

        Args:
            model: 1 or 2.
            ids: token ids of the prompt, with all that was said before.
            max_new_tokens: a shorter answer is the beginning of a longer one.
        """
        tokens = self._answers.get((model, tuple(ids)))
        if tokens is None or not (len(tokens) >= max_new_tokens or tokens[-1] in self._stop_ids):
            return None
        return tokens[:max_new_tokens]

    def keep(self, model: int, ids: Sequence[int], tokens: list[int]) -> None:
        """Keep an answer that was written to its end, or to the length that was asked for."""
        key = (model, tuple(ids))
        if len(tokens) >= len(self._answers.get(key) or ()):
            self._answers.put(key, tokens)
