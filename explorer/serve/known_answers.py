"""The models' own greedy answers, kept: whatever is patched, they answer a prompt as they did before.

known = KnownAnswers()
known.keep(pair, model, ids, tokens)
known.of(pair, model, ids, 64)      # token ids, or None

Whoever tries one share of neurons after the other at the same prompt waits for the patched answers alone, and so does
whoever tries a prompt that others have tried.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.serve.lately import LatelyOf

if TYPE_CHECKING:
    from explorer.models.pair import Pair

MOST = 1_000
"""Answers that are kept."""


class KnownAnswers:
    """Greedy answers of a pair's models with nothing patched, by model (1 or 2) and prompt."""

    def __init__(self, most: int = MOST) -> None:
        self._answers: LatelyOf[tuple[int, tuple[int, ...]], list[int]] = LatelyOf(most)

    def of(self, pair: "Pair", model: int, ids: Sequence[int], max_new_tokens: int) -> list[int] | None:
        """The token ids of an answer of at most so many tokens, its end token included; None where it is not known.

        Args:
            pair: the models, as they were loaded.
            model: 1 or 2.
            ids: token ids of the prompt, with all that was said before.
            max_new_tokens: a shorter answer is the beginning of a longer one.
        """
        tokens = self._answers.of(pair).get((model, tuple(ids)))
        if tokens is None or not (len(tokens) >= max_new_tokens or tokens[-1] in pair.stop_ids):
            return None
        return tokens[:max_new_tokens]

    def keep(self, pair: "Pair", model: int, ids: Sequence[int], tokens: list[int]) -> None:
        """Keep an answer that was written to its end, or to the length that was asked for."""
        kept, key = self._answers.of(pair), (model, tuple(ids))
        if len(tokens) >= len(kept.get(key) or ()):
            kept.put(key, tokens)
