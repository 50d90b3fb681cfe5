"""demo-reward: how helpful an answer is, by a linear head on frozen features of the embedded model.

In the manner of Beaver's reward model (paper section 4.1): fitted on pairs of answers of which people preferred one
(Bradley–Terry), so a difference of two rewards is the log-odds of being preferred. Zero is the mean of the base
model's own answers to ordinary prompts.
"""

from collections.abc import Sequence

import numpy as np

from explorer.models.pair import Pair
from explorer.scoring.base import check_pairs
from explorer.scoring.features import feature_model
from explorer.scoring.head import read_head

NAME = "demo-reward"
TOKENS_READ = 64
"""How much of an answer is read, in tokens."""


class DemoRewardScorer:
    """Log-odds of being preferred to the base model's usual answer: higher is more helpful."""

    name = NAME
    description = (
        f"Reward: helpfulness of the answer's first {TOKENS_READ} tokens, by a linear head on features of the embedded "
        "model, in log-odds of being preferred by people; higher is more helpful, 0 is the base model's usual answer."
    )

    def __init__(self, pair: Pair | None = None) -> None:
        """Load the head and the model.

        Args:
            pair: a loaded pair whose weights serve, when it is the embedded one.

        Raises:
            ExplorerError: the embedded model or the head is missing or damaged.
        """
        self._head = read_head(NAME)
        self._model, self._tokenizer = feature_model(pair)

    def score(self, prompts: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """float32 [n]: the reward of each answer."""
        check_pairs(prompts, texts)
        return self._head.score(self._model, self._tokenizer, prompts, texts)
