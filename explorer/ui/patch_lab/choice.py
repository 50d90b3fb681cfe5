"""Which neurons the Patch lab patches, and how its controls stand in the page's address.

ns = choose(SetChoice("random", fraction=0.05, seed=1), scores)
controls, problems = read_address({"fraction": "0.05", "set": "random"}, rankings, presets)
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from explorer.charts.labels import percent
from explorer.errors import ExplorerError
from explorer.models.prompting import check_prompt
from explorer.neurons.fractions import SLIDER
from explorer.neurons.patch import check_strength
from explorer.neurons.ranking import Ranking, count_of
from explorer.neurons.sets import NeuronSet

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
_SHORT = 300
"""Prompts and lists up to so many characters stand in the address."""


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

    @property
    def where(self) -> str | int:
        """The positions as the engine takes them."""
        return self.first_tokens if self.positions == FIRST else self.positions

    @property
    def is_plain(self) -> bool:
        """Whether activations are replaced as in the paper, whichever way round: fully, at all positions."""
        return self.strength == 1 and self.positions == "all"

    @property
    def unfinished(self) -> bool:
        """Whether a list is wanted and nothing has been pasted yet."""
        return self.kind == "list" and not self.neurons.strip()


DEFAULTS = Controls()

_ADDRESS = {
    "prompt": "prompt",
    "preset": "preset",
    "ranking": "ranking",
    "set": "kind",
    "fraction": "fraction",
    "seed": "seed",
    "layer": "layer",
    "rank": "first_rank",
    "neurons": "neurons",
    "tokens": "tokens",
    "direction": "direction",
    "strength": "strength",
    "positions": "positions",
}
"""Names in the address, and the controls they set."""

ADDRESS_NAMES = tuple(_ADDRESS)


def choose(controls: Controls, scores: Ranking) -> NeuronSet:
    """The set that the controls describe, in a ranking's model.

    Raises:
        ExplorerError: there is no such set.
    """
    match controls.kind:
        case "top":
            return scores.top(fraction=controls.fraction)
        case "random":
            seed = _whole(controls.seed, "seed", 0, MAX_SEED)
            return NeuronSet.random_like(scores.top(fraction=controls.fraction), seed=seed)
        case "anywhere":
            seed = _whole(controls.seed, "seed", 0, MAX_SEED)
            return NeuronSet.random(scores, count_of(controls.fraction, scores.total_neurons), seed)
        case "layer":
            layer = _whole(controls.layer, "layer", -scores.n_layers, scores.n_layers - 1)
            return NeuronSet.layer(scores, layer)
        case "window":
            return scores.window(controls.first_rank - 1, count_of(controls.fraction, scores.total_neurons))
        case "list":
            return NeuronSet.parse(controls.neurons, scores)
    raise ExplorerError(f"“{controls.kind[:40]}” is no kind of neuron set; choose one of {', '.join(KINDS)}.")


def try_choose(controls: Controls, scores: Ranking) -> tuple[NeuronSet | None, str]:
    """The set that the controls describe, or None and the sentence that says why there is none."""
    try:
        return choose(controls, scores), ""
    except ExplorerError as problem:
        return None, str(problem)


def check_tokens(tokens: object) -> int:
    """The length limit of an answer.

    Raises:
        ExplorerError: it is not a whole number from `MIN_TOKENS` to `MAX_TOKENS`.
    """
    return _whole(tokens, "length of an answer", MIN_TOKENS, MAX_TOKENS)


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
    return " · ".join([*parts, *how_words(controls.strength, controls.where)])


def how_words(strength: float, positions: str | int) -> list[str]:
    """How a patch differs from the paper's, in words; nothing where it does not."""
    words = [] if strength == 1 else [f"strength {strength:g}".replace("-", "−")]
    if isinstance(positions, int):
        return [*words, f"first {positions} answer token{'s' * (positions != 1)}"]
    return words if positions == "all" else [*words, POSITIONS[positions].lower().removeprefix("the ")]


def share(ns: NeuronSet) -> str:
    """How many neurons a set holds, in words: "2,304 of 46,080 neurons (5 %)"."""
    return f"{len(ns):,} of {ns.n_layers * ns.n_neurons:,} neurons ({percent(ns.fraction)})"


def slider_stops(fraction: float) -> list[float]:
    """The slider's stops, with the fraction that an address named among them."""
    return sorted({*FRACTIONS, fraction})


def read_address(
    address: Mapping[str, str], rankings: Collection[str], presets: Mapping[str, str]
) -> tuple[dict[str, object], list[str]]:
    """What an address sets, checked, and one sentence for each part of it that is not usable.

    Args:
        address: names and values of the query.
        rankings: the run's rankings.
        presets: prompts of the presets, by label.

    Returns:
        Values by field of `Controls`, only those that the address names and that are right.
    """
    values: dict[str, object] = {}
    problems = []
    for name, field in _ADDRESS.items():
        if name in address:
            try:
                values[field] = _read(field, address[name], rankings, presets)
            except ExplorerError as problem:
                problems.append(f"The link's {name} was left out: {_lower(str(problem))}")
    if "preset" in values and "prompt" not in values:
        values["prompt"] = presets[str(values["preset"])]
    elif "prompt" in values:
        values["preset"] = next((i for i, text in presets.items() if text == values["prompt"]), "")
    if isinstance(values.get("positions"), int):
        values |= {"positions": FIRST, "first_tokens": values["positions"]}
    return values, problems


def write_address(controls: Controls, main_ranking: str = "") -> dict[str, str]:
    """The address of the controls: what differs from the defaults, long texts left out.

    Args:
        main_ranking: the run's main one; it is the default.
    """
    address = {}
    for name, field in _ADDRESS.items():
        value = controls.where if field == "positions" else getattr(controls, field)
        if value != getattr(DEFAULTS, field) and len(str(value)) <= _SHORT:
            address[name] = f"{value:g}" if isinstance(value, float) else str(value)
    if "preset" in address:
        address.pop("prompt", None)
    if controls.ranking == main_ranking:
        address.pop("ranking", None)
    used = {"random": "seed", "anywhere": "seed", "layer": "layer", "window": "rank", "list": "neurons"}
    for name in set(used.values()) - {used.get(controls.kind)}:
        address.pop(name, None)
    if controls.kind not in BY_FRACTION:
        address.pop("fraction", None)
    return address


def _read(field: str, text: str, rankings: Collection[str], presets: Mapping[str, str]) -> object:
    shown = f"“{text[:40]}”"
    match field:
        case "prompt":
            return check_prompt(text)
        case "preset" if text not in presets:
            raise ExplorerError(f"There is no preset {shown}.")
        case "ranking" if text not in rankings:
            raise ExplorerError(f"The run has no ranking {shown}; it has {', '.join(rankings)}.")
        case "kind" if text not in KINDS:
            raise ExplorerError(f"{shown} is no kind of neuron set; choose one of {', '.join(KINDS)}.")
        case "fraction":
            try:
                fraction = float(text)
            except ValueError:
                raise ExplorerError(f"{shown} is not a number; write a fraction from 0 to 1 (0.05 is 5 %).") from None
            count_of(fraction, 1)
            return fraction
        case "seed":
            return _whole(text, "seed", 0, MAX_SEED)
        case "layer":
            return _whole(text, "layer", -(10**6), 10**6)
        case "first_rank":
            return _whole(text, "first rank", 1, 10**12)
        case "tokens":
            return check_tokens(text)
        case "direction":
            return check_direction(text)
        case "strength":
            return _strength(text)
        case "positions":
            return _positions(text)
    return text


def _strength(text: str) -> float:
    try:
        return check_strength(float(text))
    except ValueError:
        raise ExplorerError(f"“{text[:40]}” is not a number; write a strength from −1 to 2.") from None


def _positions(text: str) -> str | int:
    if text.isdecimal():
        return _whole(text, "number of first answer tokens", 1, MAX_FIRST_TOKENS)
    named = [name for name in POSITIONS if name != FIRST]  # the engine knows more places than this page has words for
    if text not in named:
        raise ExplorerError(
            f"Positions must be one of {', '.join(named)}, or how many first tokens of the answer, not “{text[:40]}”."
        )
    return text


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _whole(value: object, what: str, low: int, high: int) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = None
    if number is None or not low <= number <= high:
        raise ExplorerError(f"The {what} must be a whole number from {low:,} to {high:,}, not “{str(value)[:40]}”.")
    return number
