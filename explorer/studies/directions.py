"""Refusal directions as numbers: differences of means by layer, controls of the same kind, and which layer counts.

Arditi et al. 2406.11717, section 2.3: mean residual stream at the last prompt token on harmful less harmless prompts.
"""

from dataclasses import dataclass

import numpy as np

DEEPEST = 0.8
"""Layers beyond this share of the depth are not chosen (there): what is projected out so late is the token itself."""

LARGEST_KL = 0.1
"""Nats that a projection may change the next token on harmless prompts by, to be chosen (there)."""


def difference(harmful: np.ndarray, harmless: np.ndarray) -> np.ndarray:
    """float64 [layers, hidden]: mean over harmful less mean over harmless, each [layers, prompts, hidden]."""
    means: np.ndarray = harmful.mean(axis=1, dtype=np.float64) - harmless.mean(axis=1, dtype=np.float64)
    return means


def halves(harmful: np.ndarray, harmless: np.ndarray, seed: int) -> np.ndarray:
    """A control of the same kind: the difference of means of two random halves of the same prompts.

    Both halves hold as many harmful as harmless prompts, so that what tells those apart is in neither.

    Args:
        harmful, harmless: [prompts, hidden], of one layer; at least two each.
        seed: of the draw.

    Returns:
        float64 [hidden].
    """
    rng = np.random.default_rng(seed)
    out = np.zeros(harmful.shape[1])
    for rows in (harmful.astype(np.float64), harmless.astype(np.float64)):
        order = rng.permutation(len(rows))
        middle = len(rows) // 2
        out += rows[order[:middle]].mean(axis=0) - rows[order[middle:]].mean(axis=0)
    return out


def cosines(changes: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Cosines of [..., layers, prompts, hidden] with [layers, hidden], float64 [..., layers, prompts].

    nan where either has no length: where the last prompt token is embedded, nothing differs yet.
    """
    changes, directions = changes.astype(np.float64), directions.astype(np.float64)
    lengths = np.linalg.norm(changes, axis=-1) * np.linalg.norm(directions, axis=-1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.einsum("...lph,lh->...lp", changes, directions) / lengths
    return np.where(lengths > 0, found, np.nan)


@dataclass(frozen=True)
class Choice:
    """Which layer's direction is projected out.

    Attributes:
        layer: the chosen one, from 0 (what enters the first block).
        considered: bool [layers], which ones were candidates.
    """

    layer: int
    considered: np.ndarray


def candidates(lengths: np.ndarray) -> np.ndarray:
    """bool [layers]: which directions have a length, float [layers], and lie in the first DEEPEST of the depth."""
    return (lengths > 0) & (np.arange(len(lengths)) <= DEEPEST * (len(lengths) - 1))


def choose_layer(lengths: np.ndarray, margin: np.ndarray, kl: np.ndarray) -> Choice:
    """The layer whose direction, projected out, lowers the margin of refusal most, among those that leave the rest be.

    Args:
        lengths: float [layers], of the directions; one without length is no candidate.
        margin: float [layers], M2's mean margin on held-out harmful prompts with it projected out.
        kl: float [layers], mean KL on held-out harmless prompts, nats.

    Returns:
        The choice; where every projection changes harmless prompts by more than LARGEST_KL, the half that do least are
        the candidates.
    """
    early = candidates(lengths)
    considered = early & (kl <= LARGEST_KL)
    if not considered.any():
        considered = early & (kl <= np.median(kl[early]))
    return Choice(int(np.where(considered, margin, np.inf).argmin()), considered)
