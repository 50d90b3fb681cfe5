"""The Patch lab's controls: what a person sets, kept in the session and, where short, in the address."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from explorer.charts.labels import percent, ranking_label
from explorer.data.suites_io import load_presets
from explorer.models.prompting import MAX_PROMPT_CHARS
from explorer.neurons.patch import STRONGEST, WEAKEST
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.serve.samples import MOST_SAMPLES
from explorer.ui.patch_lab.address import ADDRESS_NAMES, read_address, write_address
from explorer.ui.patch_lab.choice import (
    BY_FRACTION,
    DEFAULTS,
    DIRECTIONS,
    FIRST,
    KINDS,
    MAX_FIRST_TOKENS,
    MAX_SEED,
    MAX_TEMPERATURE,
    MAX_TOKENS,
    MIN_TOKENS,
    MIN_TOP_P,
    POSITIONS,
    Controls,
    options_summary,
    share,
    slider_stops,
)
from explorer.ui.plain import plain

_KEY = "patch_"
_FIELDS = tuple(DEFAULTS.__dataclass_fields__)
_REMEMBERED = 20
_WRITTEN, _PROBLEMS, _LINKED = "patch-address", "patch-address-problems", "patch-linked-fraction"

_HELP = {
    "top": "The first neurons of the ranking below.",
    "random": "As many in each layer as the top of the ranking has there, but others: the control.",
    "anywhere": "Drawn from all layers alike.",
    "layer": "Every neuron of one layer.",
    "window": "Neurons by rank, from a first rank on: does the order matter?",
    "list": "Your own neurons, written layer.index: 12.345, 12.7, …",
}


def follow_address(rankings: Sequence[str], second: str = "") -> None:
    """Set the controls to what a link says, when the address has changed by other hands than ours.

    Args:
        rankings: the run's, the main one first.
        second: the ranking that others are compared with first; "" where there is none.
    """
    presets = _presets()
    address = {name: st.query_params[name] for name in ADDRESS_NAMES if name in st.query_params}
    if address and address not in st.session_state.get(_WRITTEN, []):
        st.session_state[_PROBLEMS] = _take(address, rankings, presets)
    first = next(iter(presets), "")
    st.session_state.setdefault(_KEY + "prompt", presets.get(first, ""))
    for field in _FIELDS:
        st.session_state.setdefault(_KEY + field, getattr(DEFAULTS, field))
    if st.session_state[_KEY + "ranking"] not in rankings:
        st.session_state[_KEY + "ranking"] = rankings[0]
    ranking = st.session_state[_KEY + "ranking"]
    if st.session_state[_KEY + "other"] not in rankings or st.session_state[_KEY + "other"] == ranking:
        others = [name for name in rankings if name != ranking]
        st.session_state[_KEY + "other"] = second if second in others else next(iter(others), "")
    for problem in st.session_state.get(_PROBLEMS, []):
        st.warning(plain(problem), icon=":material/link_off:")


def load_settings(settings: Mapping[str, str], rankings: Sequence[str]) -> None:
    """Set every control to what was kept with answers, before the page is drawn.

    Args:
        settings: of `address.settings_of`.
        rankings: the run's, the main one first.
    """
    for field in _FIELDS:
        st.session_state[_KEY + field] = getattr(DEFAULTS, field)
    st.session_state[_PROBLEMS] = _take(settings, rankings, _presets())


def _take(address: Mapping[str, str], rankings: Sequence[str], presets: Mapping[str, str]) -> list[str]:
    """Set the controls to what an address says; a sentence for each part of it that is not usable."""
    values, problems = read_address(address, rankings, presets)
    for field, value in values.items():
        st.session_state[_KEY + field] = value
    if "fraction" in values:
        st.session_state[_LINKED] = values["fraction"]
    return problems


def write_to_address(controls: Controls, rankings: Sequence[str]) -> None:
    """Make the address one that leads back here."""
    preset = next((label for label, text in _presets().items() if text == controls.prompt), "")
    address = write_address(replace(controls, preset=preset), rankings[0])
    # A browser that is touched again before it has heard of the new address still sends an earlier one of ours.
    st.session_state[_WRITTEN] = [*st.session_state.get(_WRITTEN, []), address][-_REMEMBERED:]
    now = st.query_params.to_dict()
    wanted = {name: value for name, value in now.items() if name not in ADDRESS_NAMES} | address
    if wanted != now:  # all at once: each write is a step of the browser's Back
        st.query_params.from_dict(wanted)


def forget_address_problems() -> None:
    """What was wrong with a link has been read."""
    st.session_state.pop(_PROBLEMS, None)


def show_prompt() -> None:
    """The prompt."""
    st.text_area("Prompt", height=108, placeholder="Ask anything.", key=_KEY + "prompt", persist_state="session")


def take_prompt(prompt: str) -> None:
    """Put a prompt into the box, before the page is drawn."""
    st.session_state[_KEY + "prompt"] = prompt


def show_set(rankings: Sequence[str], scores: Ranking) -> None:
    """Which neurons: the kind of set, and what that kind needs.

    Args:
        rankings: the run's, the main one first.
        scores: of the chosen ranking.
    """
    first, second, third = st.columns([4, 4, 3])
    with first:
        about = "\n".join(f"- **{KINDS[name]}**: {about}" for name, about in _HELP.items())
        kind = _choice("Neurons to patch", "kind", KINDS, about)
    if kind == "list":
        st.text_area(
            "List of layer.index",
            height=68,
            placeholder="12.345, 12.7",
            key=_KEY + "neurons",
            persist_state="session",
        )
        return
    with second:
        st.selectbox(
            "Ranking",
            list(rankings),
            format_func=ranking_label,
            key=_KEY + "ranking",
            disabled=kind in ("anywhere", "layer"),
            persist_state="session",
        )
    with third:
        if kind == "layer":
            last = scores.n_layers - 1
            _number("Layer", "layer", -scores.n_layers, last, help=f"0 to {last}; −1 is the last one.")
        elif kind == "window":
            _number("First rank", "first_rank", 1, scores.total_neurons, help="1 is the first of the ranking.")
        else:
            drawn = kind != "top" or st.session_state[_KEY + "control"]
            _number("Seed", "seed", 0, MAX_SEED, disabled=not drawn, help="Of the random neurons.")


def show_fraction(chosen: NeuronSet | None) -> None:
    """The share of all neurons that is patched.

    Args:
        chosen: the set that the controls describe; None where there is none.
    """
    st.select_slider(
        "Share of all neurons" if chosen is None else f"Patched: {share(chosen)}",
        slider_stops(st.session_state.get(_LINKED, DEFAULTS.fraction)),
        format_func=percent,
        key=_KEY + "fraction",
        disabled=st.session_state[_KEY + "kind"] not in BY_FRACTION,
        persist_state="session",
    )


def take_fraction(fraction: float) -> None:
    """Move the slider, before the page is drawn."""
    st.session_state[_LINKED] = fraction  # a stop of the slider, whatever its own stops are
    st.session_state[_KEY + "fraction"] = fraction


def show_options(controls: Controls) -> None:
    """Length, direction, strength, positions and sampling, behind a button; beside it, what differs from the defaults.

    Args:
        controls: what the controls are set to now.
    """
    st.toggle(
        "Random neurons beside them",
        key=_KEY + "control",
        help="The control: as many random neurons of the same layers, patched in a column of their own.",
        persist_state="session",
    )
    with st.popover("Options", icon=":material/tune:"):
        _number("Tokens per answer", "tokens", MIN_TOKENS, MAX_TOKENS, step=16)
        _show_sampling(controls)
        st.text_area(
            "System prompt",
            height=68,
            placeholder="The template's own",
            key=_KEY + "system",
            max_chars=MAX_PROMPT_CHARS,
            persist_state="session",
        )
        st.radio(
            "Direction",
            list(DIRECTIONS),
            format_func=DIRECTIONS.__getitem__,
            key=_KEY + "direction",
            help="Restoring asks whether the neurons are sufficient, breaking whether they are necessary.",
            persist_state="session",
        )
        about = "1 replaces the activations as in the paper, 0 leaves them; above 1 overdrives, below 0 reverses."
        _number("Strength", "strength", WEAKEST, STRONGEST, step=0.1, help=about)
        about = "Which tokens' activations are patched; the paper patches all, the prompt's too."
        where = _choice("Positions", "positions", POSITIONS, about)
        if where == FIRST:
            _number("How many first tokens", "first_tokens", 1, MAX_FIRST_TOKENS)
    summary = options_summary(controls)
    if summary:
        st.caption(summary, width="content")


def _show_sampling(controls: Controls) -> None:
    """How tokens are chosen: greedily, or sampled."""
    about = "0: the likeliest token each time (greedy). Above, tokens are sampled from softmax(logits / temperature)."
    left, right = st.columns(2)
    greedy = not controls.temperature
    with left:
        _number("Temperature", "temperature", 0.0, MAX_TEMPERATURE, step=0.1, help=about)
        about = "All columns are given the same random numbers, so that they differ by the patch alone."
        _number("Seed of the sampling", "sampling_seed", 0, MAX_SEED, help=about, disabled=greedy)
    with right:
        about = "Only the fewest likeliest tokens that have this share of the probability; 1: all tokens."
        _number("Top-p", "top_p", MIN_TOP_P, 1.0, step=0.05, help=about, disabled=greedy)
        about = "Answers of each column; their share of refusals stands above them."
        _number("Samples", "samples", 1, MOST_SAMPLES, help=about, disabled=greedy)


def current_controls() -> Controls:
    """What the controls are set to now."""
    values = {field: st.session_state.get(_KEY + field) for field in _FIELDS}
    kept = {field: value for field, value in values.items() if value is not None}
    return Controls(**kept)


def _choice(label: str, field: str, words: Mapping[str, str], about: str) -> str:
    return st.selectbox(
        label,
        list(words),
        format_func=words.__getitem__,
        key=_KEY + field,
        help=about,
        persist_state="session",
    )


def _number(label: str, field: str, low: float, high: float, **options: Any) -> None:
    st.number_input(label, low, high, key=_KEY + field, persist_state="session", **options)


def _presets() -> dict[str, str]:
    return {preset.label: preset.prompt for preset in load_presets()}
