"""The rankings of neurons: by change score (how much a neuron differs) and by attribution (what the difference does).

changes = explorer.contrast(pair, prompts)              # ChangeScores
causes = explorer.attribute(pair, prompts)              # Attributions
causes.top(fraction=0.005), causes.by("absolute").top(100), causes.by("negative").top(100)
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from explorer.errors import ExplorerError
from explorer.neurons.ranking import Ranking


@dataclass(frozen=True, eq=False)
class ChangeScores(Ranking):
    """The change score of every neuron, with what it was computed from (paper section 3.1).

    `scores` is the RMS difference of the two models' activations, in activation units:
    sqrt(Σ (a1 − a2)² / count), over positions that are pooled over all answers.
    """

    kind: ClassVar[str] = "change"

    label: str = "change score"


ENDS = {"positive": "attribution", "absolute": "|attribution|", "negative": "attribution, the most negative first"}
"""Which end of the attributions a ranking begins at, and how a set chosen from it is labelled.

- "positive": neurons whose patch makes M2's answer likelier.
- "negative": neurons whose patch works against it.
- "absolute": those that matter most either way.
"""


@dataclass(frozen=True, eq=False)
class Attributions(Ranking):
    """What every neuron's patch does to the answers, by its gradient (method.md, "Attribution").

    `scores` is signed: about how many nats patching the neuron alone adds to L, the log-probability of M2's answer
    over that of M1's, summed over the prompts. Means and deviations are over the positions that predict the answers
    that were read, at step 0; nan where that is not among the steps.

    Attributes:
        end: one of `ENDS`, where the ranking begins.
        by_step: float32 [steps, n_layers, n_neurons], ∂L/∂m at each step; `scores` is their mean. None where the
            attributions come from a run, which does not keep them.
    """

    kind: ClassVar[str] = "attribution"

    label: str = "attribution"
    end: str = "positive"
    by_step: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.end not in ENDS:
            raise ExplorerError(f"A ranking by attribution begins at {', '.join(ENDS)}, not at “{self.end}”.")

    @property
    def ranked_by(self) -> np.ndarray:
        """See `Ranking.ranked_by`."""
        if self.end == "absolute":
            sizes: np.ndarray = np.abs(self.scores)
            return sizes
        return -self.scores if self.end == "negative" else self.scores

    @property
    def score_name(self) -> str:
        """See `Ranking.score_name`."""
        return ENDS[self.end]

    @property
    def steps(self) -> tuple[float, ...]:
        """How far M1's activations were mixed with M2's, from 0 to 1, where the gradients were taken."""
        return tuple(self.meta["steps"])

    @property
    def log_ratio(self) -> tuple[float, ...]:
        """L at each step, in nats, summed over the prompts."""
        return tuple(self.meta["log_ratio"])

    def by(self, end: str) -> "Attributions":
        """The same attributions, ranked from another end.

        Raises:
            ExplorerError: it is not one of `ENDS`.
        """
        return replace(self, end=end)

    def at_steps(self, *steps: float) -> "Attributions":
        """The attributions of some of the steps alone: how few of them will do is found without computing anew.

        Raises:
            ExplorerError: there is no such step, or the gradients of single steps are not there.
        """
        if self.by_step is None:
            raise ExplorerError("A run keeps attributions as the mean over their steps; compute them anew.")
        missing = [step for step in steps if step not in self.steps]
        if missing or not steps:
            raise ExplorerError(
                f"These attributions have the steps {', '.join(map(str, self.steps))}; choose some of them."
            )
        index = [self.steps.index(step) for step in steps]
        meta = {**self.meta, "steps": list(steps), "log_ratio": [self.log_ratio[i] for i in index]}
        kept = self.by_step[index]
        return replace(self, scores=kept.mean(axis=0, dtype=np.float64).astype(np.float32), by_step=kept, meta=meta)

    def to_parts(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """See `Ranking.to_parts`."""
        arrays, about = super().to_parts()
        return arrays, {**about, "end": self.end}

    @classmethod
    def from_parts(cls, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> "Attributions":
        """The attributions that `to_parts` took apart.

        Raises:
            KeyError, TypeError, ValueError: the plain values are not those of attributions.
        """
        meta = about["meta"]
        if len([float(step) for step in meta["steps"]]) != len([float(value) for value in meta["log_ratio"]]):
            raise ValueError("as many values as steps")
        return super().from_parts(arrays, about).by(about["end"])


_KINDS: dict[str, type[Ranking]] = {kind.kind: kind for kind in (ChangeScores, Attributions)}


def ranking_from_parts(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> Ranking:
    """The ranking of whichever kind that `to_parts` took apart.

    Raises:
        KeyError: it is of a kind that is not known.
    """
    return _KINDS[about.get("kind", ChangeScores.kind)].from_parts(arrays, about)  # older runs know one kind
