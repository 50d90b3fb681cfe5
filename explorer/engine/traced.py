"""What `trace.trace` finds, as plain arrays: pages show it without torch.

trace.choices[1]                # patched M1's likeliest token at every place of the answer
trace.parts(0)                  # where M1's own answer would have gone on otherwise
trace.moved_by(3)               # the neurons that moved the fourth token most
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

READERS = ("unpatched", "patched", "aligned")
"""Who reads the answer, by row of the arrays: M1, M1 patched, M2; with a reversed pair M2, M2 patched, M1."""

TOP = 5
"""So many of the likeliest tokens are kept."""

KEPT = 30
"""So many of the neurons that moved a token most are kept for it."""


@dataclass(frozen=True)
class Moved:
    """A neuron, and what it adds directly to a margin of two logits."""

    layer: int
    neuron: int
    logits: float


@dataclass(frozen=True)
class MovedBy:
    """What moved the choice at one place of an answer.

    Attributes:
        chosen, other: token ids: what patched M1 would write there, and what M1 would (or, where that is the same, M1's
            second choice).
        moved: by how much the patch raises the logit of the one over that of the other.
        direct: what of it the patched neurons write directly, all of the set together.
        reached: whether the patch reaches the position at all; else it acts through earlier ones alone.
        neurons: the set's that add most in either direction, `KEPT` at most, the largest first.
    """

    chosen: int
    other: int
    moved: float
    direct: float
    reached: bool
    neurons: tuple[Moved, ...]


@dataclass(frozen=True)
class Trace:
    """Three models over the tokens of one answer, which all of them read (teacher forcing).

    Place j is where the answer's token j is predicted; t is the number of tokens.

    Attributes:
        tokens: int64 [t], the answer's.
        texts: of every token id that occurs here, as text of its own.
        margin: float32 [3, t], refusal over compliance in logits (`token_margin`), by `READERS`; None where there is
            none.
        kl_to_m1, kl_to_m2: float32 [t], KL(patched ‖ M1) and KL(patched ‖ M2) of the next token, in nats.
        top: int64 [3, t, 5], each reader's likeliest tokens, the likeliest first.
        shares: float32 [3, t, 5], their probabilities, 0 to 1.
        own: float32 [3, t], the probability of the answer's own token.
        chosen, other: int64 [t], see `MovedBy`.
        moved, direct: float32 [t], see `MovedBy`.
        reached: bool [t], see `MovedBy`.
        layers, neurons: int64 [t, n], what moved each token most, the largest first.
        added: float32 [t, n], what they add, in logits.
    """

    tokens: np.ndarray
    texts: Mapping[int, str]
    margin: np.ndarray | None
    kl_to_m1: np.ndarray
    kl_to_m2: np.ndarray
    top: np.ndarray
    shares: np.ndarray
    own: np.ndarray
    chosen: np.ndarray
    other: np.ndarray
    moved: np.ndarray
    direct: np.ndarray
    reached: np.ndarray
    layers: np.ndarray
    neurons: np.ndarray
    added: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def choices(self) -> np.ndarray:
        """int64 [3, t], each reader's likeliest token."""
        return self.top[:, :, 0]

    def parts(self, reader: int) -> int | None:
        """The first place at which a reader's own greedy answer would differ from this one; None where nowhere.

        Before it, both are the same text, so it is where the greedy answers themselves part.
        """
        differs = np.flatnonzero(self.choices[reader] != self.tokens)
        return int(differs[0]) if len(differs) else None

    def moved_by(self, place: int) -> MovedBy:
        """What moved the choice at a place, from 0."""
        found = zip(self.layers[place], self.neurons[place], self.added[place], strict=True)
        return MovedBy(
            int(self.chosen[place]),
            int(self.other[place]),
            float(self.moved[place]),
            float(self.direct[place]),
            bool(self.reached[place]),
            tuple(Moved(int(layer), int(neuron), float(logits)) for layer, neuron, logits in found),
        )
