"""The Patch lab's film strip: one prompt at several shares of patched neurons, a verdict under each."""

from dataclasses import asdict, replace

import streamlit as st

from explorer.charts.labels import percent, rate
from explorer.errors import ExplorerError
from explorer.models.prompting import check_prompt
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.report.diff import Piece, to_html
from explorer.report.film import flip_sentence, flips_at
from explorer.runs.reader import Run
from explorer.scoring.verdict import verdict
from explorer.serve.generation import Column
from explorer.serve.job import Phase
from explorer.serve.pairs import PairService
from explorer.serve.samples import decoding_words
from explorer.serve.strip import ALIGNED, FRACTIONS, UNPATCHED, Strip, StripRequest
from explorer.ui.patch_lab.answer_cards import Shown, colour
from explorer.ui.patch_lab.choice import BY_FRACTION, Controls, check_direction, check_tokens, choose, share
from explorer.ui.patch_lab.controls import take_fraction
from explorer.ui.patch_lab.conversation_view import before, conversation, own_before
from explorer.ui.patch_lab.generation_view import draft_of
from explorer.ui.patch_lab.verdict_chip import show_chip
from explorer.ui.plain import plain, show_problem
from explorer.ui.waiting import ask_instead, look_every, waiting_words

_STRIP, _ASKED = "patch-strip", "patch-strip-asked"
_FREE = ("fraction", "preset", "control", "samples")
"""Settings that a strip does not depend on."""

_SHOWN = 120
"""Characters of an answer in a frame; the columns have all of it."""


def ask(service: PairService, controls: Controls, scores: Ranking, run: Run, other: Ranking | None = None) -> None:
    """Queue a film strip in place of the one before.

    Args:
        service: where it runs.
        controls: what is set.
        scores, other: of the chosen ranking, and of the second one where there is one.
        run: that holds draft tokens.

    Raises:
        ExplorerError: the prompt, the length, the set or the patch is not usable.
    """
    if conversation().own:
        raise ExplorerError(
            "A film strip needs a conversation that all its frames share; go on from the answer of one column."
        )
    if controls.kind not in BY_FRACTION:
        raise ExplorerError("A film strip needs a set that has a share: the top of a ranking, or random neurons.")
    request = StripRequest(
        check_prompt(controls.prompt),
        _sets(controls, scores, other),
        check_tokens(controls.tokens),
        check_direction(controls.direction),
        controls.strength,
        controls.where,
        draft_of(run),
        before(controls),
        controls.sampling,
    )
    ask_instead(service, _STRIP, Strip(request))
    st.session_state[_ASKED] = _settings(controls)


def _sets(controls: Controls, scores: Ranking, other: Ranking | None) -> dict[float, NeuronSet]:
    """The set at each fraction; one that does not exist at a size (random, shared by two rankings) is left out."""
    sets, problem = {}, None
    for fraction in FRACTIONS:
        try:
            sets[fraction] = choose(replace(controls, fraction=fraction), scores, other)
        except ExplorerError as known:
            problem = known
    if problem is not None and not sets:
        raise problem
    return sets


def _settings(controls: Controls) -> dict[str, object]:
    """What must be the same for a strip to answer what the controls ask, at any of its fractions."""
    settings = {name: value for name, value in asdict(controls).items() if name not in _FREE}
    return settings | {"before": before(controls), "own": own_before(controls)}


def known_at(controls: Controls) -> Shown | None:
    """The three answers at the slider's share, where the strip has them already."""
    strip: Strip | None = st.session_state.get(_STRIP)
    if strip is None or st.session_state[_ASKED] != _settings(controls):
        return None
    strip.drain()
    fraction = controls.fraction
    if strip.active or strip.problem or fraction not in strip.request.sets or controls.answers_each > 1:
        return None
    columns = {
        name: replace(strip.frames[at], refused=_outcome(strip, at) == "refused")
        for name, at in (("unpatched", UNPATCHED), ("patched", fraction), ("aligned", ALIGNED))
    }
    asked = strip.request
    neurons = len(asked.sets[fraction])
    decoding = decoding_words(asked.sampling)
    return Shown(
        asked.prompt, columns, asked.max_new_tokens, direction=asked.direction, neurons=neurons, decoding=decoding
    )


def show_strip(service: PairService, controls: Controls) -> None:
    """The strip, redrawn while it is written; nothing before the first one."""
    strip: Strip | None = st.session_state.get(_STRIP)
    if strip is None:
        return
    with st.container(border=True, key="film-strip"):
        st.fragment(_draw, run_every=look_every(strip) if strip.active else None)(service, strip, controls)


def _draw(service: PairService, strip: Strip, controls: Controls) -> None:
    was_active, every = strip.active, look_every(strip)
    strip.drain()
    if strip.active and look_every(strip) != every:
        st.rerun()
    asked = strip.request
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**Film strip**: {plain(asked.prompt[:120])}", width="content")
        stale = st.session_state[_ASKED] != _settings(controls)
        st.caption(_state(service, strip) + (" · the settings have changed since" if stale else ""), width="content")
    if strip.problem:
        show_problem(strip.problem)
        return
    fractions = list(asked.sets)
    outcomes = [_outcome(strip, at) for at in (UNPATCHED, *fractions)]
    flip = flips_at(outcomes) if not strip.active else None
    places = st.columns(1 + len(fractions), gap="small")
    for number, (at, place) in enumerate(zip((UNPATCHED, *fractions), places, strict=True)):
        with place.container(border=True, gap="small", height="stretch", key=f"frame-{number}"):
            _show_frame(strip, at, outcomes[number], controls, stale, number == flip)
    if not strip.active and not strip.notice:
        sizes = [len(ns) for ns in asked.sets.values()]
        st.markdown(flip_sentence(outcomes, fractions, sizes, _outcome(strip, ALIGNED), asked.direction))
    if was_active and not strip.active:
        st.rerun()  # the columns below take their answers from it


def _show_frame(strip: Strip, at: float, outcome: str, controls: Controls, stale: bool, flips: bool) -> None:
    column: Column = strip.frames[at]
    unpatched = at == UNPATCHED
    label = "0 %" if unpatched else percent(at)
    st.markdown(f"**{label}**" + (" :material/flag:" if flips else ""), help="Flips here" if flips else None)
    if column.tokens:
        show_chip(outcome, about=False)
    text = column.text if len(column.text) <= _SHOWN else column.text[:_SHOWN].rstrip() + " …"
    shown = to_html([Piece(text, False)], colour("unpatched" if unpatched else "patched", strip.request.direction))
    st.html(f'<div style="font-size: 0.8rem; line-height: 1.35">{shown}</div>')  # `shown` is escaped
    if not unpatched:
        st.button(
            "Open",
            type="tertiary",
            key=f"frame-open-{at}",
            help=f"The three answers with {share(strip.request.sets[at])} patched",
            disabled=strip.active or stale or at == controls.fraction,
            on_click=take_fraction,
            args=(at,),
        )


def _outcome(strip: Strip, at: float) -> str:
    return verdict(strip.frames[at].text, strip.request.prompt).outcome


def _state(service: PairService, strip: Strip) -> str:
    match strip.phase:
        case Phase.WAITING:
            return waiting_words(service, strip)
        case Phase.LOADING:
            return strip.loading[0]
        case Phase.DONE:
            asked = strip.request
            done = f"{decoding_words(asked.sampling)}, up to {asked.max_new_tokens} tokens"
            return plain(strip.notice) if strip.notice else done
    return f"Writing: {rate(strip.share)}"
