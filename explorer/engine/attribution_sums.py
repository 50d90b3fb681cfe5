"""Running sums of gradients: memory does not grow with the number of prompts, and parts of the work add up."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from explorer.engine.sums import Sums
from explorer.errors import ExplorerError


@dataclass
class AttributionSums:
    """Running sums over prompts; sums of parts add up to those of the whole.

    Attributes:
        by_step: float64 [steps, n_layers, n_neurons], ∂L/∂m at each step.
        log_ratio: float64 [steps], L there, in nats.
        alike: prompts that both models answer alike: nothing is to be attributed.
        activations: of both models at the positions that predict the answers, at step 0.
    """

    by_step: np.ndarray
    log_ratio: np.ndarray
    alike: int
    activations: Sums

    @classmethod
    def zeros(cls, steps: int, n_layers: int, n_neurons: int) -> "AttributionSums":
        """Nothing summed yet."""
        nothing = np.zeros((steps, n_layers, n_neurons))
        return cls(nothing, np.zeros(steps), 0, Sums.zeros(n_layers, n_neurons))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The sums by name."""
        own = {"by_step": self.by_step, "log_ratio": self.log_ratio, "alike": np.array(self.alike)}
        return own | {f"activations_{name}": value for name, value in self.activations.to_arrays().items()}

    @classmethod
    def total(cls, parts: Iterable[dict[str, np.ndarray]]) -> "AttributionSums":
        """The sum of parts that `to_arrays` gave, added in their order: the same parts, the same bits.

        Raises:
            ExplorerError: there are none.
        """
        whole: AttributionSums | None = None
        for part in parts:
            if whole is None:
                whole = cls.zeros(*part["by_step"].shape)
            whole.by_step += part["by_step"]
            whole.log_ratio += part["log_ratio"]
            whole.alike += int(part["alike"])
            for name, value in whole.activations.to_arrays().items():
                value += part[f"activations_{name}"]
        if whole is None:
            raise ExplorerError("There are no prompts to attribute on; give at least one.")
        return whole
