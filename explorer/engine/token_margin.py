"""The margin of refusal over compliance at the first token of an answer, as one direction over the vocabulary.

Which tokens count is not chosen by hand: M2 begins answers with some of them more often than M1 does, and the reverse.

margin = choose_tokens(first_tokens(pair.backbone1 …), first_tokens(pair.backbone2 …))
margin.of(logits)                        # [..., vocabulary] → [...]
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer.errors import ExplorerError

if TYPE_CHECKING:
    import torch

LEAST = 0.02
"""A token counts where the two models begin with it on shares of the prompts that differ by at least this."""


@dataclass(frozen=True)
class TokenMargin:
    """A weighted sum of logits: the mean of M2's first tokens less the mean of M1's.

    The weights sum to 0, so that what is added to all logits alike does not count; and the margin is linear in the
    logits, so that it can be split into what each neuron adds (direct logit attribution).

    Attributes:
        tokens: int64 [t], ids.
        weights: float64 [t]; the positive ones (refusal) sum to 1, the negative ones (compliance) to −1.
    """

    tokens: np.ndarray
    weights: np.ndarray

    def of(self, logits: "torch.Tensor") -> "torch.Tensor":
        """The margin of logits [..., vocabulary], float32 [...], in logits."""
        tokens, weights = self._on(logits)
        return logits[..., tokens].float() @ weights

    def direction(self, unembedding: "torch.Tensor") -> "torch.Tensor":
        """float32 [hidden]: what of the last hidden state the margin reads, by the unembedding [vocabulary, hidden]."""
        tokens, weights = self._on(unembedding)
        return weights @ unembedding[tokens].float()

    def _on(self, like: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        import torch  # a page hands a margin on without it

        tokens = torch.from_numpy(self.tokens).to(like.device)
        return tokens, torch.from_numpy(self.weights).float().to(like.device)


def choose_tokens(first1: np.ndarray, first2: np.ndarray) -> TokenMargin:
    """The margin by which tokens each model begins its greedy answers with more often than the other.

    Args:
        first1, first2: int64 [prompts], the first token of M1's and of M2's answer to the same prompts.

    Raises:
        ExplorerError: both begin alike.
    """
    tokens = np.union1d(first1, first2)
    excess = np.array([(first2 == token).mean() - (first1 == token).mean() for token in tokens])
    counted = np.abs(excess) >= LEAST
    tokens, excess = tokens[counted], excess[counted]
    refusal, compliance = np.clip(excess, 0, None), np.clip(-excess, 0, None)
    if not refusal.sum() or not compliance.sum():
        raise ExplorerError(
            "M1 and M2 begin their answers to these prompts with the same tokens, so there is no margin of refusal "
            "over compliance; name a suite that the two models answer differently."
        )
    return TokenMargin(tokens.astype(np.int64), refusal / refusal.sum() - compliance / compliance.sum())
