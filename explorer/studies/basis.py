"""What every study stands on: the rankings and answers that a build file asks for.

The annotations are the schema: `explorer.schema.read_table` checks a table by them, so a new setting is one line here.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

from explorer.engine.attributing import Attributing, steps_of
from explorer.neurons.patch import DIRECTIONS
from explorer.runs.columns import MAIN
from explorer.schema import (
    Count,
    CountOrNone,
    Distinct,
    Fraction,
    Fractions,
    Kind,
    Layer,
    Place,
    PlaceOrNone,
    Seeds,
    Some,
    Text,
    Tokens,
)
from explorer.studies.planning import LATER

Method = Literal["contrast", "attribution", "effect_size", "prompt_difference", "activation_variance"]
"""How a ranking is computed."""

ONE_MODEL = ("prompt_difference", "activation_variance")
"""Methods that read one model alone, and so need no aligned one (`studies.training_free`)."""

OwnMethod = Literal["contrast", "attribution", "effect_size"]
"""How a study ranks that computes rankings of its own."""

Positions = Literal["paper", "shifted", "prompt", "last_prompt"]
"""`engine.options.COMPARED`."""

Objective = Literal["both", "m2", "target"]
"""`engine.attributing.OBJECTIVES`."""

End = Literal["positive", "absolute", "negative"]
"""`neurons.scores.ENDS`."""

Steps = (
    Annotated[int, Interval(ge=1, le=1_000)]
    | Annotated[tuple[Annotated[float, Interval(ge=0, le=1)], ...], Some, Kind("a list of numbers from 0 to 1")]
)
Strength = Annotated[float, Interval(ge=-1, le=2)]
PatchPositions = Literal["all", "prompt", "last_prompt", "answer"] | Count
"""`neurons.patch.POSITIONS`, or so many of the answer's first tokens."""

Share = Annotated[float, Interval(ge=0, le=1)]
Window = Annotated[tuple[Share, Fraction], Kind("a pair [start, size] of fractions of all neurons")]


@dataclass(frozen=True)
class RankingSpec:
    """A ranking to compute.

    Attributes:
        name: of the ranking in the run.
        suite: prompt suite.
        category: only prompts of this category; all where empty.
        limit, positions, answers, max_new_tokens, exclude_layers: as for `explorer.contrast`.
        adapter: a name under [adapters] whose model takes M2's place; M2 itself where empty.
        method: "contrast" (the paper's), "attribution", "effect_size", or one of `ONE_MODEL`, which need no aligned
            model.
        model: whose activations the methods of `ONE_MODEL` read: "m1", or "m2" (or the adapter's).
        against: the harmless suite of method "prompt_difference".
        keep: whether the ranking becomes part of the run.
        objective, target, first_tokens, steps, end: of method "attribution"; see `explorer.attribute`, and for where
            the ranking begins `neurons.scores.ENDS`.
    """

    name: Place
    suite: Place
    limit: Count = 200
    positions: Positions = "paper"
    answers: Literal["m1", "m2"] = "m1"
    max_new_tokens: Tokens = 48
    exclude_layers: tuple[Layer, ...] = ()
    adapter: PlaceOrNone = ""
    category: Text = ""
    method: Method = "contrast"
    against: PlaceOrNone = ""
    keep: bool = True
    objective: Objective = "both"
    target: Text = ""
    first_tokens: CountOrNone = 0
    steps: Steps = 5
    end: End = "positive"
    model: Literal["m1", "m2"] = field(default="m1", metadata=LATER)

    def attributing(self) -> Attributing:
        """The settings of method "attribution".

        Raises:
            ExplorerError: one of them is not usable.
        """
        return Attributing(self.max_new_tokens, steps_of(self.steps), self.objective, self.target, self.first_tokens)


@dataclass(frozen=True)
class AnswerSpec:
    """Answers to write for a suite: M1's, M2's, and patched M1's for each set.

    Attributes:
        suite: prompt suite.
        ranking: whose top neurons are patched.
        fractions: patched shares of all neurons, 0 to 1; none for M1 and M2 alone.
        random_seeds: random controls with the same number of neurons per layer.
        random_fractions: the fractions that get random controls; all where empty.
        anywhere_seeds: controls drawn from all layers alike, at the same fractions as `random_seeds`.
        last_layer: whether the whole last layer is patched as well.
        windows: windows of ranks, each [start, size] as fractions of all neurons.
        limit: at most so many prompts.
        direction: one of `DIRECTIONS`.
        strength, positions: of the patches, see `explorer.generate`.
    """

    suite: Place
    ranking: Place = "safety"
    fractions: Fractions = ()
    random_seeds: Seeds = ()
    random_fractions: Fractions = ()
    anywhere_seeds: Seeds = ()
    last_layer: bool = False
    windows: Annotated[tuple[Window, ...], Distinct] = ()
    limit: Count = 200
    direction: Literal["restore", "break"] = "restore"
    strength: Strength = 1.0
    positions: PatchPositions = "all"

    @property
    def key(self) -> str:
        """What its answers are called among those of all tables: a suite's, with the ranking unless it is "safety" or
        none is patched, and the direction unless it is to restore.
        """
        ranking = self.ranking if self.patches and self.ranking != MAIN else ""
        direction = self.direction if self.direction != DIRECTIONS[0] else ""
        return ".".join(filter(None, (self.suite, ranking, direction)))

    @property
    def patches(self) -> bool:
        """Whether anything is patched."""
        return bool(self.fractions or self.windows or self.last_layer)
