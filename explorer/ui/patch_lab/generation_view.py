"""The Patch lab's generation: asked for, stopped, watched while it is written, and kept for comparison."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import streamlit as st

from explorer.engine.drafts import PROMPT_LOOKUP, NgramDraft
from explorer.models.prompting import check_prompt
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.runs.reader import Run
from explorer.serve.generation import CONTROL, SHOWN, Column, Generation, Guard, Phase, Request
from explorer.serve.history import origin_of
from explorer.serve.pairs import PairService
from explorer.serve.samples import decoding_words
from explorer.ui.current_run import tensors
from explorer.ui.patch_lab.address import settings_of
from explorer.ui.patch_lab.answer_cards import Shown, show_answers
from explorer.ui.patch_lab.choice import Controls, check_direction, check_tokens, how_words, share
from explorer.ui.patch_lab.conversation_view import Said, before, check_own, control_here, own_before
from explorer.ui.patch_lab.history_view import keep, patched_words
from explorer.ui.plain import plain, show_problem
from explorer.ui.waiting import ask_instead, look_every, shows_waiting

_GENERATION = "patch-generation"


def current_generation() -> Generation | None:
    """The session's generation, with all that its worker has told so far."""
    generation: Generation | None = st.session_state.get(_GENERATION)
    if generation is not None:
        generation.drain()
        keep(generation)
    return generation


def is_of(generation: Generation | None, neurons: NeuronSet) -> bool:
    """Whether a generation patches just these neurons, or is still being written."""
    return generation is not None and (generation.active or generation.request.neurons == neurons)


def guard_of(run: Run) -> Guard | None:
    """The safeguard that the run holds, if any."""
    held = _held(run, "safeguard")
    if not held or not len(held["weight"]):  # nothing could be learnt from the run's answers
        return None
    ns = NeuronSet(held["layers"], held["neurons"], run.n_layers, run.n_neurons, "what the safeguard reads")
    return Guard(ns, held["weight"], float(held["bias"][0]), int(held["n"][0]))


def draft_of(run: Run) -> NgramDraft:
    """What followed what in the run's answers."""
    held = _held(run, "phrases")
    return NgramDraft.from_arrays(held) if held else PROMPT_LOOKUP


def _held(run: Run, name: str) -> dict[str, np.ndarray]:
    """A tensor file of the run; empty where the run was built without it."""
    return tensors(run, name) if f"tensors/{name}.safetensors" in run.manifest["files"] else {}


def generate(service: PairService, controls: Controls, ns: NeuronSet, run: Run) -> Generation:
    """Queue a generation in place of the one before, which is told to stop.

    Raises:
        ExplorerError: the prompt, the length, the direction, the strength or the positions are not usable.
    """
    check_own(controls)
    patch = Patch(ns, controls.strength, controls.where)
    request = Request(
        check_prompt(controls.prompt),
        ns,
        check_tokens(controls.tokens),
        {"ranking": controls.ranking, "kind": controls.kind},
        guard_of(run),
        draft_of(run),
        check_direction(controls.direction),
        patch.strength,
        patch.positions,
        control_here(controls, ns)[0],
        before(controls),
        settings_of(controls),
        origin_of(run, controls.ranking),
        controls.sampling,
        controls.answers_each,
    )
    request = replace(request, own=_own_in(request, controls))
    return ask_instead(service, _GENERATION, Generation(request))


def _own_in(asked: Request, controls: Controls) -> dict[str, Said]:
    """What was said before in each of a request's columns, where that is its own."""
    return {name: said for name, said in own_before(controls).items() if name in asked.columns}


def stale_words(generation: Generation | None, controls: Controls, ns: NeuronSet | None) -> str:
    """What of the settings has changed since the answers that are shown were asked for; "" where nothing has.

    Args:
        generation: that is shown.
        controls: what is set now.
        ns: the set that this chooses; None where there is none.
    """
    if generation is None or ns is None:
        return ""
    asked = generation.request
    now: dict[str, tuple[object, object]] = {
        "the prompt": (asked.prompt, controls.prompt.strip()),
        "the length": (asked.max_new_tokens, controls.tokens),
        "the direction": (asked.direction, controls.direction),
        "the strength": (asked.strength, controls.strength),
        "the positions": (asked.positions, controls.where),
        "the conversation": ((asked.before, asked.own), (before(controls), _own_in(asked, controls))),
        "the sampling": ((asked.sampling, asked.samples), (controls.sampling, controls.answers_each)),
    }
    changed = [what for what, (then, after) in now.items() if then != after]
    if asked.neurons != ns:
        changed.insert(0, "the neurons")
    if not changed:
        return ""
    have = "have" if len(changed) > 1 or changed[0].endswith("s") else "has"
    listed = " and ".join([", ".join(changed[:-1]), changed[-1]] if len(changed) > 1 else changed)
    return f"Shown: patched {share(asked.neurons)}. Since then {listed} {have} changed; press Generate for new answers."


def stop() -> None:
    """Stop the session's generation; what is written stays."""
    generation: Generation | None = st.session_state.get(_GENERATION)
    if generation is not None:
        generation.stop()
        keep(generation)


def show_generation(
    service: PairService, generation: Generation | None, about: Mapping[str, str], controls: Controls, stale: str = ""
) -> None:
    """The answers, redrawn several times a second while they are written.

    Args:
        service: where it runs.
        generation: None before the first one.
        about: what the scores mean.
        controls: what is chosen now: what the columns will be, before the first generation.
        stale: of `stale_words`.
    """
    every = look_every(generation) if generation is not None and generation.active else None
    st.fragment(_draw, run_every=every)(service, generation, about, controls, stale)


def _draw(
    service: PairService, generation: Generation | None, about: Mapping[str, str], controls: Controls, stale: str
) -> None:
    if generation is None:
        empty = {name: Column() for name in SHOWN if name != CONTROL or controls.control}
        hint = "Press Generate (Ctrl+Enter) to see the answers grow together."
        show_answers(Shown("", empty, 64, hint=hint, direction=controls.direction), about)
        return
    was_active, every = generation.active, look_every(generation)
    generation.drain()
    if generation.active and look_every(generation) != every:
        st.rerun()  # from now on there is something new to see several times a second
    if generation.problem:
        show_problem(generation.problem)
    elif generation.notice:
        st.warning(plain(generation.notice), icon=":material/timer_off:")
    waits = generation.phase in (Phase.WAITING, Phase.LOADING)
    if waits:
        _show_status(service, generation)
    if stale:
        st.caption(f":orange-badge[:material/history: stale] {plain(stale)}")
    show_answers(shown_of(generation), about)
    if not waits:
        _show_status(service, generation)
    if generation.note:
        st.caption(f":material/info: {plain(generation.note)}")
    if was_active and not generation.active:
        keep(generation)
        st.rerun()  # the buttons and the history stand outside of this fragment


def shown_of(generation: Generation) -> Shown:
    """A generation as the cards take it."""
    asked = generation.request
    return Shown(
        asked.prompt,
        generation.columns,
        asked.max_new_tokens,
        generation.active,
        direction=asked.direction,
        neurons=len(asked.neurons),
        others=generation.samples[1:],
        decoding=decoding_words(asked.sampling, asked.samples),
    )


def _show_status(service: PairService, generation: Generation) -> None:
    if shows_waiting(service, generation):
        return
    asked = generation.request
    how = " · ".join([patched_words(asked.direction), *how_words(asked.strength, asked.positions)])
    decoding = decoding_words(asked.sampling, asked.samples)
    st.caption(f"{_doing(generation)} · {how}: {share(asked.neurons)}, {asked.neurons.label} · {decoding}")


def _doing(generation: Generation) -> str:
    speed = ""
    if generation.tokens_per_second:
        many = len(generation.written)
        speed = f" · {_rate(generation.tokens_per_second)} tokens/s over {many} column{'s' * (many != 1)}"
    if known := len(generation.columns) - len(generation.written):
        speed += f" · {'all' if known == len(generation.columns) else known} known from before"
    match generation.phase:
        case Phase.WRITING:
            doing = "Writing" if generation.steps else "Reading the prompt"
            return f":material/edit_note: {doing}{speed}"
        case Phase.SCORING:
            return f":material/balance: Scoring{speed}"
    done = "Stopped" if generation.stopped else "Done"
    return f":material/check: {done}: {generation.tokens} tokens in {generation.seconds:.1f} s{speed}"


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
