"""What the demo's scorers share: a shipped head on features of the embedded model."""

from collections.abc import Sequence

import numpy as np

from explorer.models.pair import Pair
from explorer.scoring.base import check_pairs
from explorer.scoring.features import feature_model
from explorer.scoring.head import read_head


class HeadScorer:
    """Scores answers with the head of its name; a subclass names and describes it."""

    name: str
    description: str

    def __init__(self, pair: Pair | None = None) -> None:
        """Load the head and the model.

        Args:
            pair: a loaded pair whose weights serve, when it is the embedded one.

        Raises:
            ExplorerError: the embedded model or the head is missing or damaged.
        """
        self._head = read_head(self.name)
        self._model, self._tokenizer = feature_model(pair)

    def score(self, prompts: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """float32 [n]: the head's score of each answer to its prompt."""
        check_pairs(prompts, texts)
        return self._head.score(self._model, self._tokenizer, prompts, texts)
