"""What the tables of a build file say, one dataclass for each kind of table.

The annotations are the schema: `explorer.schema.read_table` checks a table by them, so a new setting is one line here.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from annotated_types import Interval, Len

from explorer.engine.attributing import Attributing, steps_of
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
    Places,
    Seeds,
    Some,
    Text,
    Tokens,
)

Method = Literal["contrast", "attribution", "effect_size", "prompt_difference", "activation_variance"]
"""How a ranking is computed."""

ONE_MODEL = ("prompt_difference", "activation_variance")
"""`studies.training_free.METHODS`: those that read one model alone, and so need no aligned one."""

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
Pair = Annotated[tuple[Place, Place], Kind("a pair of two rankings")]


LATER = {"later": True}
"""Metadata of settings that came later than builds did, see `options`."""


def options(spec: Any) -> dict[str, Any]:
    """What the key of a stage holds of a table.

    Settings that came later are in it only where they are not left at their default, so that what was computed before
    there were any stays valid.
    """
    later = {f.name: f.default for f in fields(spec) if f.metadata.get("later")}
    return {name: v for name, v in asdict(spec).items() if name not in later or v != later[name]}


DIRECTIONS = ("restore", "break")
"""M2's activations into M1 restore (are the neurons sufficient?); M1's into M2 break (are they necessary?)."""


@dataclass(frozen=True)
class RankingSpec:
    """A ranking to compute.

    Attributes:
        name: of the ranking in the run.
        suite: prompt suite.
        category: only prompts of this category; all where empty.
        limit, positions, answers, max_new_tokens, exclude_layers: as for `explorer.contrast`.
        adapter: a name under [adapters] whose model takes M2's place; M2 itself where empty.
        method: "contrast" (the paper's), "attribution", "effect_size", or one of `training_free.METHODS`, which need no
            aligned model.
        model: whose activations the methods of `training_free.METHODS` read: "m1", or "m2" (or the adapter's).
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


@dataclass(frozen=True)
class DetailSpec:
    """What is kept of the top neurons: activations over words, and the vocabulary projection.

    Attributes:
        ranking: whose top neurons.
        neurons: how many of them.
        tokens: of the vocabulary at either end of a neuron's projection.
        suites, texts_per_suite: the answers that activations are read over.
        beside: further rankings whose top neurons are kept too.
    """

    ranking: Place = "safety"
    neurons: Count = 1000
    tokens: Annotated[int, Interval(ge=1, le=1_000)] = 10
    suites: Places = ("redteam_eval", "ordinary_eval")
    texts_per_suite: Annotated[int, Interval(ge=1, le=1_000)] = 2
    beside: Annotated[tuple[Place, ...], Distinct] = field(default=(), metadata=LATER)


@dataclass(frozen=True)
class AdapterSpec:
    """A model beside M1 and M2: M1 with one more adapter.

    Attributes:
        name: what the build calls it.
        folder: relative to the build file, or the name of an adapter that ships with the project.
        label: for people.
    """

    name: Place
    folder: Place
    label: Text = ""


@dataclass(frozen=True)
class SeriesSpec:
    """What is measured at each checkpoint of the pair's [series].

    Attributes:
        suite, limit: prompts to rank on.
        answers, answers_limit: the suite to answer when patched, and how many of its prompts.
        fractions: the sizes of each checkpoint's own top set.
        method: of the rankings.
        steps: of method "attribution".
    """

    suite: Place
    answers: Place
    limit: Count = 100
    answers_limit: Count = 50
    fractions: Annotated[Fractions, Some] = (0.05, 0.2)
    method: OwnMethod = field(default="contrast", metadata=LATER)
    steps: Steps = field(default=5, metadata=LATER)


@dataclass(frozen=True)
class TransferSpec:
    """Neurons found on one kind of prompts, patched on another.

    Attributes:
        sources: rankings, each of a suite of its own.
        targets: suites under [[answers]], whose unpatched and aligned answers are used again.
        fraction: the size of the sets.
        limit: at most so many prompts of each target.
    """

    sources: Places
    targets: Places
    fraction: Fraction = 0.05
    limit: Count = 100


@dataclass(frozen=True)
class CategoriesSpec:
    """The same between harm categories: neurons found on each category's prompts of one suite, patched on another's.

    Attributes:
        found_on: suite with categories that the rankings are computed on.
        tested_on: suite with the same categories, under [[answers]] or not.
        categories: which ones.
        fraction: the size of the sets.
        ranking_limit, limit: prompts of a category to rank on, and to test on.
        max_new_tokens: length limit of the answers that the rankings read.
        method: of the rankings.
        steps: of method "attribution".
    """

    found_on: Place
    tested_on: Place
    categories: Annotated[tuple[Text, ...], Some, Distinct]
    fraction: Fraction = 0.05
    ranking_limit: Count = 30
    limit: Count = 25
    max_new_tokens: Tokens = 24
    method: OwnMethod = field(default="contrast", metadata=LATER)
    steps: Steps = field(default=5, metadata=LATER)


@dataclass(frozen=True)
class SeedsSpec:
    """Rankings of one recipe's seeds, compared."""

    rankings: Annotated[tuple[Place, ...], Len(2), Distinct]


@dataclass(frozen=True)
class TaxSpec:
    """The activation swap between aligned models.

    Attributes:
        pairs: pairs of rankings with adapters ("safety", "helpful").
        suites: what both models answer.
        fraction: the size of the top sets whose shared neurons are swapped.
        random_seed: of the control, as many neurons per layer outside of the shared ones; none where negative.
        limit: at most so many prompts of each suite.
    """

    pairs: Annotated[tuple[Pair, ...], Some, Distinct]
    suites: Places
    fraction: Fraction = 0.05
    random_seed: Annotated[int, Interval(ge=-1, le=2**32 - 1)] = 0
    limit: Count = 100


@dataclass(frozen=True)
class AblationSpec:
    """Shared and specific neurons of two rankings, set to zero, to their mean, and to each model's activations.

    Attributes:
        a, b: the two rankings.
        suites: what is answered.
        fraction: the size of the top sets.
        limit: at most so many prompts of each suite.
        means: the ranking that M1's mean activations are taken from, one of the same adapter as `a`; `a` itself where
            empty. A ranking by attribution knows them only where 0 is among its steps, and then over the answers that
            it read; without means, nothing is set to them.
    """

    a: Place = "safety"
    b: Place = "helpful"
    suites: Places = ("redteam_eval", "everyday_eval")
    fraction: Fraction = 0.05
    limit: Count = 50
    means: PlaceOrNone = field(default="", metadata=LATER)


@dataclass(frozen=True)
class SafeguardSpec:
    """Will the answer be harmful? Predicted before its first word, from neurons at the last prompt token.

    Attributes:
        ranking: whose top neurons are read.
        suites: suites under [[answers]]; each is trained on and tested on in turn.
        sizes: how many neurons are read.
        main_size: of these, the one whose classifier the run keeps.
        random_seeds: controls with as many neurons per layer.
        limit: at most so many prompts of each suite.
    """

    suites: Places
    ranking: Place = "safety"
    sizes: Annotated[tuple[Count, ...], Some, Distinct] = (10, 50, 150, 500, 1500)
    main_size: Count = 150
    random_seeds: Seeds = (0, 1, 2)
    limit: Count = 500


@dataclass(frozen=True)
class CapabilitySpec:
    """What patching costs in general ability.

    Attributes:
        ranking, fractions: the sets that are patched.
        folder: where wikitext2_test.txt, mmlu_subset.jsonl, truthfulqa_mc.jsonl and gsm8k_test.jsonl lie.
        windows, window_tokens: stretches of WikiText-2, and their length.
        mmlu, truthfulqa, gsm8k: questions of each.
        gsm8k_tokens: length limit of a solution.
    """

    ranking: Place = "safety"
    fractions: Fractions = (0.05,)
    folder: Place = "$EXPLORER_DATA/capability"
    windows: CountOrNone = 20
    window_tokens: Annotated[int, Interval(ge=2, le=100_000)] = 256
    mmlu: CountOrNone = 100
    truthfulqa: CountOrNone = 50
    gsm8k: CountOrNone = 20
    gsm8k_tokens: Tokens = 96


@dataclass(frozen=True)
class IdentificationSpec:
    """Rankings that need no aligned model, against one that does.

    Attributes:
        reference: the ranking they are compared with.
        rankings: the others.
        suite: a suite under [[answers]] to patch on.
        fractions: the sizes that are patched.
        limit: at most so many prompts.
    """

    rankings: Places
    suite: Place
    reference: Place = "safety"
    fractions: Annotated[Fractions, Some] = (0.05,)
    limit: Count = 100


@dataclass(frozen=True)
class FewestSpec:
    """Which ranking finds the fewest neurons? Out of the answers under [[answers]] and the study [capability].

    Attributes:
        everyday: the suite of harmless prompts under [[answers]] whose refusals stand beside each fraction.
    """

    everyday: Place = "everyday_eval"


@dataclass(frozen=True)
class SingleNeuronsSpec:
    """The top neurons of a ranking, each patched alone, in both directions.

    Attributes:
        suite: what is answered, under [[answers]] or not.
        ranking: whose top neurons.
        neurons: how many.
        limit: at most so many prompts.
    """

    suite: Place
    ranking: Place = "safety"
    neurons: Annotated[int, Interval(ge=1, le=1_000)] = 20
    limit: Count = 50
