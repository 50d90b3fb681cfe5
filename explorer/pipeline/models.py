"""The models of a build by name ("m1", "m2", and each adapter's), loaded when a task first needs them.

models = Models(ModelsSpec(read_pair_file("demo"), "float32", {"helpful": "…/shipped/helpful"}))
models.pair("safety", "helpful")      # the helpful model's activations into the safe one
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from explorer.models.pair_file import ModelSpec, PairSpec
from explorer.scoring.judge_kinds import USUAL, JudgeSettings

if TYPE_CHECKING:
    from explorer.models.pair import Pair
    from explorer.scoring.base import Scorer


STEP = "step "
"""What the names of the series' checkpoints begin with; no adapter's name has a space."""


def step_name(step: int) -> str:
    """What a checkpoint of the pair's series is called among the models."""
    return f"{STEP}{step}"


@dataclass(frozen=True)
class ModelsSpec:
    """What is loaded, as plain values: another process loads the same.

    Attributes:
        pair: M1 and M2.
        dtype: the models' dtype.
        adapters: folders of the other models' adapters, by name.
        judges: where and how published judges are loaded.
    """

    pair: PairSpec
    dtype: str
    adapters: Mapping[str, str] = field(default_factory=dict)
    judges: JudgeSettings = USUAL

    def model(self, name: str) -> ModelSpec:
        """M1, M2, M1 with the adapter of this name, or a checkpoint of the series."""
        if name in ("m1", "m2"):
            return self.pair.m1 if name == "m1" else self.pair.m2
        steps = {step_name(step.step): step.model for step in self.pair.series}
        if name in steps:
            return steps[name]
        return ModelSpec(self.pair.m1.base, (*self.pair.m1.adapters, self.adapters[name]))


class Models:
    """The loaded models and scorers of one process."""

    def __init__(self, spec: ModelsSpec) -> None:
        self.spec = spec
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._scorers: dict[str, Scorer] = {}

    def pair(self, first: str = "m1", second: str = "m2") -> "Pair":
        """Two of the models as a pair; all share weights where they can.

        Of the series' checkpoints, only the one of the last call is kept: each may be a whole model.
        """
        from explorer.models import pair as loading

        if ("m1", "m2") not in self._pairs:
            self._pairs["m1", "m2"] = loading.load_pair(self.spec.pair, dtype=self.spec.dtype)
        if (second, first) in self._pairs:
            self._pairs.setdefault((first, second), self._pairs[second, first].reversed())
        if (first, second) not in self._pairs:
            for known in [names for names in self._pairs if names[1].startswith(STEP)]:
                del self._pairs[known]
            m1, m2 = self.spec.model(first), self.spec.model(second)
            spec = replace(self.spec.pair, name=f"{first} and {second}", m1=m1, m2=m2, series=())
            self._pairs[first, second] = loading.sibling(self._pairs["m1", "m2"], spec)
        return self._pairs[first, second]

    def scorer(self, name: str) -> "Scorer":
        """A scorer of the registry, which shares the weights of M1 where it can."""
        if name not in self._scorers:
            from explorer.scoring.scorers import load_scorer

            pair = self.pair() if name != "refusal" else None
            self._scorers[name] = load_scorer(name, pair, self.spec.judges)
        return self._scorers[name]
