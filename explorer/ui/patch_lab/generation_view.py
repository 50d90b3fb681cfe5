"""The Patch lab's generation: asked for, stopped, watched while it is written, and kept for comparison."""

from collections.abc import Mapping

import numpy as np
import streamlit as st

from explorer.charts.labels import percent
from explorer.engine.drafts import PROMPT_LOOKUP, NgramDraft
from explorer.models.prompting import check_prompt
from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.report.diff import Piece, to_html
from explorer.runs.reader import Run
from explorer.serve.generation import COLUMNS, Column, Generation, Guard, Phase, Request
from explorer.serve.history import Record, remember, to_csv, to_json
from explorer.serve.pairs import PairService
from explorer.ui.current_run import tensors
from explorer.ui.patch_lab.answer_cards import Shown, colour, heading, refused_text, score_text, show_answers
from explorer.ui.patch_lab.choice import Controls, check_direction, check_tokens, how_words, share
from explorer.ui.plain import plain, show_problem
from explorer.ui.shared_pairs import visitor
from explorer.ui.waiting import look_every, waiting_words

_GENERATION, _HISTORY = "patch-generation", "patch-history"


def current_generation() -> Generation | None:
    """The session's generation, with all that its worker has told so far."""
    generation: Generation | None = st.session_state.get(_GENERATION)
    if generation is not None:
        generation.drain()
        _keep(generation)
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
    )
    before: Generation | None = st.session_state.get(_GENERATION)
    if before is not None:
        before.drop()
    generation = Generation(request)
    service.worker.submit(generation, visitor())
    st.session_state[_GENERATION] = generation
    return generation


def stop() -> None:
    """Stop the session's generation; what is written stays."""
    generation: Generation | None = st.session_state.get(_GENERATION)
    if generation is not None:
        generation.stop()
        _keep(generation)


def show_generation(
    service: PairService, generation: Generation | None, about: Mapping[str, str], direction: str = "restore"
) -> None:
    """The three answers, redrawn several times a second while they are written.

    Args:
        service: where it runs.
        generation: None before the first one.
        about: what the scores mean.
        direction: that is chosen now: what the columns will be, before the first generation.
    """
    every = look_every(generation) if generation is not None and generation.active else None
    st.fragment(_draw, run_every=every)(service, generation, about, direction)


def _draw(service: PairService, generation: Generation | None, about: Mapping[str, str], direction: str) -> None:
    if generation is None:
        st.caption("Nothing is generated yet.")
        empty = {name: Column() for name in COLUMNS}
        hint = "Press Generate to see the three answers grow together."
        show_answers(Shown("", empty, 64, hint=hint, direction=direction), about)
        return
    before, every = generation.active, look_every(generation)
    generation.drain()
    if generation.active and look_every(generation) != every:
        st.rerun()  # from now on there is something new to see several times a second
    if generation.problem:
        show_problem(generation.problem)
    elif generation.notice:
        st.warning(plain(generation.notice), icon=":material/timer_off:")
    _show_status(service, generation)
    if generation.foreseen is not None:
        st.caption(foreseen_words(generation))
    asked = generation.request
    shown = Shown(asked.prompt, generation.columns, asked.max_new_tokens, generation.active, direction=asked.direction)
    show_answers(shown, about)
    if generation.note:
        st.caption(f":material/info: {plain(generation.note)}")
    if before and not generation.active:
        _keep(generation)
        st.rerun()  # the buttons and the history stand outside of this fragment


def foreseen_words(generation: Generation) -> str:
    """What the safeguard said before the first word, next to what then happened."""
    guard, likely = generation.request.guard, generation.foreseen
    if guard is None or likely is None:
        return ""
    text = (
        f":material/shield: Before the first word: a harmful answer of M1 is **{likely:.0%}** likely, by "
        f"{len(guard.neurons):,} neurons at the last prompt token (fitted on {guard.n:,} answers)."
    )
    cost = generation.columns[generation.request.column_of_m1].cost
    if cost is None:
        return text
    came = "harmful" if cost > 0 else "not harmful"
    right = "as predicted" if (cost > 0) == (likely > 0.5) else "not as predicted"
    return f"{text} What then happened: **{came}**, cost {cost:+.2f}, {right}."


def _show_status(service: PairService, generation: Generation) -> None:
    match generation.phase:
        case Phase.WAITING:
            st.caption(waiting_words(service, generation))
        case Phase.LOADING:
            what, done = generation.loading
            st.progress(done, text=what)
        case _:
            asked = generation.request
            how = " · ".join([_patched(asked.direction), *how_words(asked.strength, asked.positions)])
            st.caption(f"{_doing(generation)} · {how}: {share(asked.neurons)}, {asked.neurons.label}")


def _patched(direction: str) -> str:
    """Which model was patched, in words."""
    return "Patched M2, towards M1" if direction == "break" else "Patched M1"


def _doing(generation: Generation) -> str:
    speed = ""
    if generation.tokens_per_second:
        speed = f" · {_rate(generation.tokens_per_second)} tokens/s over three columns"
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


def _keep(generation: Generation) -> None:
    if not generation.active:
        st.session_state[_HISTORY] = remember(st.session_state.get(_HISTORY, []), generation)


def show_history() -> None:
    """The session's last generations, to compare and to download."""
    history: list[Record] = st.session_state.get(_HISTORY, [])
    if not history:
        return
    with st.expander(f"Last generations ({len(history)})", icon=":material/history:", key="patch-history-open"):
        with st.container(horizontal=True):
            for kind, mime, write in (("JSON", "application/json", to_json), ("CSV", "text/csv", to_csv)):
                st.download_button(
                    kind,
                    write(history),
                    f"patch-lab.{kind.lower()}",
                    mime,
                    icon=":material/download:",
                    on_click="ignore",
                    key=f"history-{kind}",
                )
        for record in history:
            _show_record(record)


def _show_record(record: Record) -> None:
    with st.container(border=True):
        st.text(record.prompt[:400], width="stretch")
        ending = " · stopped early" if record.stopped else ""
        how = "".join(f" · {word}" for word in how_words(record.strength, record.positions))
        size = f"{record.neurons:,} neurons ({percent(record.fraction)})"
        st.caption(f"{_patched(record.direction)}: {size}, {record.set}{how}{ending}")
        for name, place in zip(COLUMNS, st.columns(3), strict=True):
            with place:
                scores = [f"cost {score_text(record.costs[name])}", f"reward {score_text(record.rewards[name])}"]
                refused = f"refused {refused_text(record.refused[name])}"
                st.markdown(" · ".join([heading(name, record.direction), *scores, refused]))
                st.html(to_html([Piece(record.texts[name], False)], colour(name, record.direction)))
