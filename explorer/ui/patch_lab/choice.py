"""What the Patch lab's controls are set to, and which neurons they choose.

ns = choose(Controls(kind="random", fraction=0.05, seed=1), scores)
"""

from dataclasses import dataclass

from explorer.charts.labels import percent, true_minus
from explorer.engine.options import Sampling
from explorer.errors import ExplorerError
from explorer.neurons.fractions import SLIDER
from explorer.neurons.ranking import Ranking, count_of
from explorer.neurons.sets import NeuronSet
from explorer.serve.samples import check_samples, decoding_words

KINDS = {
    "top": "Top of the ranking",
    "random": "Random, same number per layer",
    "anywhere": "Random, anywhere",
    "layer": "One whole layer",
    "window": "A window of ranks",
    "list": "A pasted list",
}
"""Ways to choose a set, and what people call them."""

BY_FRACTION = ("top", "random", "anywhere", "window")
"""The kinds whose size is the fraction."""

PARTS = {
    "all": "All of them",
    "shared": "Only those shared with",
    "without": "All but those shared with",
    "either": "Together with those of",
}
"""Which of a ranking's top neurons, beside the top of as many of a second ranking; and what people call it."""

DIRECTIONS = {
    "restore": "Restore: M2's activations into M1",
    "break": "Break: M1's activations into M2",
}
"""Whether the neurons are sufficient, or necessary; and what people call it."""

FIRST = "first"
POSITIONS = {
    "all": "All positions",
    "prompt": "The prompt",
    "last_prompt": "The last prompt token",
    "answer": "The answer",
    FIRST: "The answer's first tokens",
}
"""Where a text is patched: `neurons.patch.POSITIONS` and the first so many tokens, in words."""

FRACTIONS = SLIDER
"""Stops of the slider, in even ratios rather than steps: fine at the low end, where safety neurons are."""

MIN_TOKENS, MAX_TOKENS = 16, 256
MAX_SEED = 2**32 - 1
MAX_FIRST_TOKENS = MAX_TOKENS
MAX_TEMPERATURE = 2.0
MIN_TOP_P = 0.01


@dataclass(frozen=True)
class Controls:
    """What the Patch lab's controls are set to.

    Attributes:
        prompt: as typed.
        preset: label of the preset the prompt is, or "".
        ranking: a ranking of the run; "" for its main one.
        kind: one of `KINDS`.
        fraction: of all neurons, 0 to 1.
        seed: of the random kinds.
        layer: of kind "layer"; -1 is the last one.
        first_rank: of kind "window", from 1.
        neurons: of kind "list", as pasted.
        tokens: length limit of an answer.
        direction: one of `DIRECTIONS`.
        strength: of the patch, −1 to 2; 1 is the paper's.
        positions: one of `POSITIONS`.
        first_tokens: of positions "first", how many.
        part: one of `PARTS`: of kind "top", which of the neurons beside those of a second ranking.
        other: the second ranking; "" where there is none.
        control: whether as many random neurons are patched in a column of their own.
        system: the system prompt; "" for the template's own, if it has one.
        temperature, top_p, sampling_seed: how tokens are sampled; temperature 0 is greedy decoding.
        samples: how many answers each column writes, where they are sampled.
    """

    prompt: str = ""
    preset: str = ""
    ranking: str = ""
    kind: str = "top"
    fraction: float = 0.01
    seed: int = 0
    layer: int = -1
    first_rank: int = 1
    neurons: str = ""
    tokens: int = 64
    direction: str = "restore"
    strength: float = 1.0
    positions: str = "all"
    first_tokens: int = 8
    part: str = "all"
    other: str = ""
    control: bool = True
    system: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    sampling_seed: int = 0
    samples: int = 1

    @property
    def sampling(self) -> Sampling | None:
        """How tokens are sampled; None for greedy answers.

        Raises:
            ExplorerError: a setting is not usable.
        """
        how = Sampling(self.temperature, self.top_p, self.sampling_seed)
        return how if how.temperature else None

    @property
    def answers_each(self) -> int:
        """How many answers each column writes."""
        return check_samples(self.samples) if self.temperature else 1

    @property
    def where(self) -> str | int:
        """The positions as the engine takes them."""
        return self.first_tokens if self.positions == FIRST else self.positions

    @property
    def is_plain(self) -> bool:
        """Whether activations are replaced as in the paper, whichever way round: fully, at all positions."""
        return self.strength == 1 and self.positions == "all"

    @property
    def combines(self) -> bool:
        """Whether a second ranking has a say in which neurons are patched."""
        return self.kind == "top" and self.part != "all"

    @property
    def unfinished(self) -> bool:
        """Whether a list is wanted and nothing has been pasted yet."""
        return self.kind == "list" and not self.neurons.strip()


DEFAULTS = Controls()


def choose(controls: Controls, scores: Ranking, other: Ranking | None = None) -> NeuronSet:
    """The set that the controls describe, in a ranking's model.

    Args:
        controls: what is set.
        scores: of the chosen ranking.
        other: of the second ranking; needed where the controls combine two.

    Raises:
        ExplorerError: there is no such set.
    """
    match controls.kind:
        case "top":
            return _part_of(controls, scores.top(fraction=controls.fraction), other)
        case "random":
            seed = whole(controls.seed, "seed", 0, MAX_SEED)
            return NeuronSet.random_like(scores.top(fraction=controls.fraction), seed=seed)
        case "anywhere":
            seed = whole(controls.seed, "seed", 0, MAX_SEED)
            return NeuronSet.random(scores, count_of(controls.fraction, scores.total_neurons), seed)
        case "layer":
            layer = whole(controls.layer, "layer", -scores.n_layers, scores.n_layers - 1)
            return NeuronSet.layer(scores, layer)
        case "window":
            return scores.window(controls.first_rank - 1, count_of(controls.fraction, scores.total_neurons))
        case "list":
            return NeuronSet.parse(controls.neurons, scores)
    raise ExplorerError(f"“{controls.kind[:40]}” is no kind of neuron set; choose one of {', '.join(KINDS)}.")


def _part_of(controls: Controls, top: NeuronSet, other: Ranking | None) -> NeuronSet:
    """The top set, or what a second ranking's top set of the same fraction leaves of it or adds to it."""
    if controls.part not in PARTS:
        raise ExplorerError(f"“{controls.part[:40]}” is no part of a set; choose one of {', '.join(PARTS)}.")
    if controls.part == "all":
        return top
    if other is None:
        raise ExplorerError("The run has no second ranking to combine this one with; patch all of its top neurons.")
    second = other.top(fraction=controls.fraction)
    combined = {"shared": top & second, "without": top - second, "either": top | second}[controls.part]
    if not len(combined):
        raise ExplorerError("The two top sets leave no neuron to patch; choose a larger share, or all of the neurons.")
    return combined


def try_choose(controls: Controls, scores: Ranking, other: Ranking | None = None) -> tuple[NeuronSet | None, str]:
    """The set that the controls describe, or None and the sentence that says why there is none."""
    try:
        return choose(controls, scores, other), ""
    except ExplorerError as problem:
        return None, str(problem)


def control_of(controls: Controls, ns: NeuronSet) -> tuple[NeuronSet | None, str]:
    """The random control of a set, or None, with the sentence that says why where one is asked for."""
    if not controls.control:
        return None, ""
    try:
        return NeuronSet.random_like(ns, seed=whole(controls.seed, "seed", 0, MAX_SEED)), ""
    except ExplorerError as problem:
        return None, str(problem)


def check_tokens(tokens: object) -> int:
    """The length limit of an answer.

    Raises:
        ExplorerError: it is not a whole number from `MIN_TOKENS` to `MAX_TOKENS`.
    """
    return whole(tokens, "length of an answer", MIN_TOKENS, MAX_TOKENS)


def check_direction(direction: str) -> str:
    """Which way activations are patched.

    Raises:
        ExplorerError: it is not one of `DIRECTIONS`.
    """
    if direction not in DIRECTIONS:
        raise ExplorerError(f"The direction must be one of {', '.join(DIRECTIONS)}, not “{direction[:40]}”.")
    return direction


def options_summary(controls: Controls) -> str:
    """What the options say, where they differ from the defaults: "break · strength 0.5 · prompt"; else ""."""
    parts = [controls.direction] if controls.direction != DEFAULTS.direction else []
    parts += ["own system prompt"] if controls.system.strip() else []
    parts += how_words(controls.strength, controls.where)
    sampled = [decoding_words(controls.sampling, controls.answers_each)] if controls.temperature else []
    return " · ".join([*parts, *sampled])


def how_words(strength: float, positions: str | int) -> list[str]:
    """How a patch differs from the paper's, in words; nothing where it does not."""
    words = [] if strength == 1 else [true_minus(f"strength {strength:g}")]
    if isinstance(positions, int):
        return [*words, f"first {positions} answer token{'s' * (positions != 1)}"]
    return words if positions == "all" else [*words, POSITIONS[positions].lower().removeprefix("the ")]


def share(ns: NeuronSet) -> str:
    """How many neurons a set holds, in words: "2,304 of 46,080 neurons (5 %)"."""
    return f"{len(ns):,} of {ns.n_layers * ns.n_neurons:,} neurons ({percent(ns.fraction)})"


def slider_stops(fraction: float) -> list[float]:
    """The slider's stops, with the fraction that an address named among them."""
    return sorted({*FRACTIONS, fraction})


def whole(value: object, what: str, low: int, high: int) -> int:
    """A whole number within bounds.

    Raises:
        ExplorerError: it is none.
    """
    try:
        number = int(str(value))
    except ValueError:
        number = None
    if number is None or not low <= number <= high:
        raise ExplorerError(f"The {what} must be a whole number from {low:,} to {high:,}, not “{str(value)[:40]}”.")
    return number
