"""The next token of a sampled answer: Gumbel-max, with the same random numbers in every column.

    token = argmax over v of (logit_v / T + g_v),        g_v = −log(−log u_v),  u_v uniform in (0, 1)

is a sample of softmax(logits / T) (Gumbel-max). The noise g depends on the seed, the number of the sample and the place
of the token in the answer alone, so that M1, patched M1 and M2 are given the same one and differ by the patch alone
(counterfactual generation, arXiv 2411.07180). It comes from a counter-based generator (Philox): it is the same in
whichever batch, back end or order a row is written, and for a draft token as for one that is written by itself, so
speculative decoding stays exact.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from explorer.engine.options import Sampling

Place = tuple[Sampling, int, int]
"""How a token is sampled, the number of the sample, and the token's place in the answer, both from 0."""

_KEPT = 64
"""Noise vectors that are kept: the columns of a sample come to the same place within a few steps."""

_LIKELIEST = 1024
"""So many tokens are sorted first to find a nucleus; all of them only where it has more."""


@lru_cache(maxsize=_KEPT)
def gumbel_noise(seed: int, sample: int, place: int, size: int) -> torch.Tensor:
    """Standard Gumbel noise of each token of a vocabulary, float32 [size]; of a larger one it begins alike.

    Args:
        seed: 0 to 2³² − 1.
        sample: the number of the sample, from 0.
        place: of the token in the answer, from 0.
        size: of the vocabulary.
    """
    key = np.array([seed, (sample << 32) | place], dtype=np.uint64)
    uniform = torch.from_numpy(np.random.Generator(np.random.Philox(key=key)).random(size))
    uniform.clamp_(min=2.0**-54)  # 0 is drawn once in 2⁵³ times
    return uniform.log_().neg_().log_().neg_().float()


def sampled(logits: torch.Tensor, places: Sequence[Place | None]) -> list[int]:
    """The next token of each row.

    Args:
        logits: [rows, vocabulary].
        places: of each row; None for a greedy one.
    """
    chosen: list[int] = logits.max(dim=-1).indices.tolist()
    rows = [row for row, place in enumerate(places) if place is not None]
    if not rows:
        return chosen
    ways = [place for place in places if place is not None]
    size = logits.shape[-1]
    noise = torch.stack([gumbel_noise(how.seed, sample, place, size) for how, sample, place in ways])
    heat = torch.tensor([[how.temperature] for how, _, _ in ways], device=logits.device)
    tempered = logits[rows].float() / heat
    shares = torch.tensor([[how.top_p] for how, _, _ in ways], device=logits.device)
    if bool((shares < 1).any()):
        tempered = nucleus(tempered, shares)
    best = (tempered + noise.to(logits.device)).max(dim=-1).indices.tolist()
    for row, token in zip(rows, best, strict=True):
        chosen[row] = token
    return chosen


def nucleus(logits: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """The logits of the fewest likeliest tokens whose probabilities add up to at least top-p; −∞ for all others.

    Nucleus sampling (Holtzman et al. 2020, 1904.09751). Tokens that are as likely as the last of them stay too, so
    that it does not depend on how ties are sorted.

    Args:
        logits: float32 [rows, vocabulary].
        top_p: float32 [rows, 1], above 0 and up to 1; 1 leaves all tokens.
    """
    size = logits.shape[-1]
    total = logits.logsumexp(dim=-1, keepdim=True)
    for most in (min(_LIKELIEST, size), size):
        highest = logits.topk(most, dim=-1).values
        reached = (highest - total).exp().cumsum(dim=-1)
        if most == size or bool(((reached[:, -1:] >= top_p) | (top_p >= 1)).all()):
            break
    last = (reached < top_p).sum(dim=-1, keepdim=True).clamp(max=most - 1)
    least = highest.gather(-1, last).masked_fill(top_p >= 1, -torch.inf)
    return logits.masked_fill(logits < least, -torch.inf)
