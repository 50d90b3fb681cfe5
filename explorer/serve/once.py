"""Scores and forecasts that are computed once, however often the same answers and prompts come again.

score = ScoredOnce()
score(pair, prompt, texts)      # of `score_answers`, which is given only what is new

Prompts and answers are kept as digests, not as people's words.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from explorer.digests import digest
from explorer.serve.generation import Guard, Scored
from explorer.serve.lately import Lately, lately_of
from explorer.serve.scoring import Score, foresee_harm, score_answers

if TYPE_CHECKING:
    from explorer.models.pair import Pair

KEPT = 1_000
"""Scores, and forecasts, that are kept."""


class ScoredOnce:
    """Scores like `score_answers`, but each answer to a prompt once: the models' own come again with every patch."""

    def __init__(self, score: Score | None = None, most: int = KEPT) -> None:
        """What scores what is new: `score_answers` when left out."""
        self._score = score or score_answers
        self._most = most

    def knows(self, pair: "Pair", prompt: str, texts: Mapping[str, str]) -> bool:
        """Whether nothing is left to be scored."""
        return len(self._known(pair, prompt, texts)) == len(texts)

    def __call__(self, pair: "Pair", prompt: str, texts: Mapping[str, str]) -> Scored:
        """See `score_answers`."""
        known = self._known(pair, prompt, texts)
        new = {name: text for name, text in texts.items() if name not in known}
        scored = self._score(pair, prompt, new) if new else Scored({}, {})
        if not scored.note:
            for name, refused in scored.refused.items():
                found = _Scores(scored.costs.get(name), refused, scored.rewards.get(name))
                self._of(pair).put(digest([prompt, texts[name]]), found)
        return replace(
            scored,
            costs={**scored.costs, **{name: found.cost for name, found in known.items()}},
            refused={**scored.refused, **{name: found.refused for name, found in known.items()}},
            rewards={**scored.rewards, **{name: found.reward for name, found in known.items()}},
        )

    def _known(self, pair: "Pair", prompt: str, texts: Mapping[str, str]) -> "dict[str, _Scores]":
        """The scores that are there, by column."""
        kept = self._of(pair)
        return {name: found for name, text in texts.items() if (found := kept.get(digest([prompt, text])))}

    def _of(self, pair: "Pair") -> "Lately[str, _Scores]":
        return lately_of(pair, self, self._most)


class ForeseenOnce:
    """Foresees like `foresee_harm`, but each prompt once."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most

    def __call__(self, pair: "Pair", prompt: str, guard: Guard) -> float:
        """See `foresee_harm`."""
        kept: Lately[str, float] = lately_of(pair, self, self._most)
        key = digest([prompt, guard.weight.tolist(), guard.bias])
        found = kept.get(key)
        if found is None:
            found = foresee_harm(pair, prompt, guard)
            kept.put(key, found)
        return found


class _Scores(NamedTuple):
    """Of one answer; see `generation.Scored`."""

    cost: float | None
    refused: bool | None
    reward: float | None
