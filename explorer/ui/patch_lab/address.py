"""How the Patch lab's controls stand in the page's address.

values, problems = read_address({"fraction": "0.05", "set": "random"}, rankings, presets)
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from explorer.errors import ExplorerError
from explorer.models.prompting import check_prompt
from explorer.neurons.patch import check_strength
from explorer.neurons.ranking import count_of
from explorer.serve.samples import MOST_SAMPLES
from explorer.ui.patch_lab.choice import (
    BY_FRACTION,
    DEFAULTS,
    FIRST,
    KINDS,
    MAX_FIRST_TOKENS,
    MAX_SEED,
    MAX_TEMPERATURE,
    MIN_TOP_P,
    PARTS,
    POSITIONS,
    Controls,
    check_direction,
    check_tokens,
    whole,
)

SHORT = 300
"""Prompts and lists up to so many characters stand in the address."""

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
    "part": "part",
    "with": "other",
    "control": "control",
    "system": "system",
    "temperature": "temperature",
    "top-p": "top_p",
    "sampling-seed": "sampling_seed",
    "samples": "samples",
}
"""Names in the address, and the controls they set."""

ADDRESS_NAMES = tuple(_ADDRESS)


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


def write_address(controls: Controls, main_ranking: str = "", longest: int = SHORT) -> dict[str, str]:
    """The address of the controls: what differs from the defaults, long texts left out.

    Args:
        controls: what is set.
        main_ranking: the run's main one; it is the default.
        longest: texts of more characters are left out.
    """
    address = {}
    for name, field in _ADDRESS.items():
        value = controls.where if field == "positions" else getattr(controls, field)
        if value != getattr(DEFAULTS, field) and len(str(value)) <= longest:
            address[name] = _text(value)
    if "preset" in address:
        address.pop("prompt", None)
    if controls.ranking == main_ranking:
        address.pop("ranking", None)
    used = {"random": "seed", "anywhere": "seed", "layer": "layer", "window": "rank", "list": "neurons"}
    for name in set(used.values()) - {used.get(controls.kind), "seed" if controls.control else None}:
        address.pop(name, None)
    if not controls.combines:
        address.pop("part", None)
        address.pop("with", None)
    if controls.kind not in BY_FRACTION:
        address.pop("fraction", None)
    if not controls.temperature:
        for name in ("top-p", "sampling-seed", "samples"):
            address.pop(name, None)
    return address


def settings_of(controls: Controls) -> dict[str, str]:
    """All that the controls are set to, as an address would say it, however long: to be kept with answers."""
    return {"prompt": controls.prompt, "ranking": controls.ranking} | write_address(
        replace(controls, preset=""), longest=10**7
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read(field: str, text: str, rankings: Collection[str], presets: Mapping[str, str]) -> object:
    shown = f"“{text[:40]}”"
    match field:
        case "prompt" | "system":
            return check_prompt(text)
        case "preset" if text not in presets:
            raise ExplorerError(f"There is no preset {shown}.")
        case "ranking" if text not in rankings:
            raise ExplorerError(f"The run has no ranking {shown}; it has {', '.join(rankings)}.")
        case "other" if text not in rankings:
            raise ExplorerError(f"The run has no ranking {shown}; it has {', '.join(rankings)}.")
        case "part" if text not in PARTS:
            raise ExplorerError(f"{shown} is no part of a set; choose one of {', '.join(PARTS)}.")
        case "control" if text not in ("0", "1"):
            raise ExplorerError(f"{shown} is neither 1 (with random neurons) nor 0 (without).")
        case "control":
            return text == "1"
        case "kind" if text not in KINDS:
            raise ExplorerError(f"{shown} is no kind of neuron set; choose one of {', '.join(KINDS)}.")
        case "fraction":
            try:
                fraction = float(text)
            except ValueError:
                raise ExplorerError(f"{shown} is not a number; write a fraction from 0 to 1 (0.05 is 5 %).") from None
            count_of(fraction, 1)
            return fraction
        case "temperature":
            return _between(text, "temperature", 0.0, MAX_TEMPERATURE)
        case "top_p":
            return _between(text, "top-p", MIN_TOP_P, 1.0)
        case "sampling_seed":
            return whole(text, "seed of the sampling", 0, MAX_SEED)
        case "samples":
            return whole(text, "number of samples", 1, MOST_SAMPLES)
        case "seed":
            return whole(text, "seed", 0, MAX_SEED)
        case "layer":
            return whole(text, "layer", -(10**6), 10**6)
        case "first_rank":
            return whole(text, "first rank", 1, 10**12)
        case "tokens":
            return check_tokens(text)
        case "direction":
            return check_direction(text)
        case "strength":
            return _strength(text)
        case "positions":
            return _positions(text)
    return text


def _between(text: str, what: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ExplorerError(f"The {what} must be a number from {low:g} to {high:g}, not “{text[:40]}”.")
    return value


def _strength(text: str) -> float:
    try:
        return check_strength(float(text))
    except ValueError:
        raise ExplorerError(f"“{text[:40]}” is not a number; write a strength from −1 to 2.") from None


def _positions(text: str) -> str | int:
    if text.isdecimal():
        return whole(text, "number of first answer tokens", 1, MAX_FIRST_TOKENS)
    named = [name for name in POSITIONS if name != FIRST]  # the engine knows more places than this page has words for
    if text not in named:
        raise ExplorerError(
            f"Positions must be one of {', '.join(named)}, or how many first tokens of the answer, not “{text[:40]}”."
        )
    return text


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
