"""The answers that the Patch lab shows: generated now, brought by a link, out of the film strip, or out of the run."""

import streamlit as st

from explorer.neurons.patch import Patch
from explorer.neurons.sets import NeuronSet
from explorer.runs.reader import Run
from explorer.serve.generation import CONTROL, Generation, Request
from explorer.serve.history import Record, origin_of, record, record_of
from explorer.serve.pairs import PairService
from explorer.serve.samples import GREEDY
from explorer.ui.patch_lab import conversation_view, generation_view, linked_view, strip_view, trace_view
from explorer.ui.patch_lab.address import settings_of
from explorer.ui.patch_lab.answer_cards import Shown, scores_about, show_answers
from explorer.ui.patch_lab.cached_view import show_known
from explorer.ui.patch_lab.choice import Controls, control_of
from explorer.ui.patch_lab.foreseen_view import show_foreseen
from explorer.ui.patch_lab.share_view import show_share


def show_present(
    run: Run, service: PairService, controls: Controls, neurons: NeuronSet | None, generation: Generation | None
) -> None:
    """The answers, what can be taken along of them, their trace and what the safeguard said before them.

    Args:
        run: the run.
        service: where answers are generated.
        controls: what is set now.
        neurons: the set that this chooses; None where there is none.
        generation: the session's, if any.
    """
    about = scores_about(run.manifest)
    linked = linked_view.linked()
    known = None
    if neurons is not None and not generation_view.is_of(generation, neurons):
        known = strip_view.known_at(controls)
    if known is not None:
        st.fragment(show_answers)(known, about)
        generation = linked = None
    elif generation is None and linked is not None:
        changed = linked_view.changed_since(linked, controls, neurons)
        linked_view.show_origin(linked, changed)
        shown = linked_view.shown_of(linked)
        st.fragment(show_answers)(shown, about)
        known = None if changed else shown
    else:
        said_before = conversation_view.before(controls)
        known = None if generation is not None or said_before else show_known(run, controls)
        if known is None:
            stale = generation_view.stale_words(generation, controls, neurons)
            generation_view.show_generation(service, generation, about, controls, stale)
    conversation_view.show_continue(generation)
    show_share(_kept(run, controls, neurons, generation, known, linked))
    patch = None if neurons is None or known is None else Patch(neurons, controls.strength, controls.where)
    said = conversation_view.said_in(controls)
    answers = trace_view.of_generation(generation) or trace_view.of_known(run, known, patch, said)
    trace_view.show_trace(service, run, answers)
    show_foreseen(run, generation)


def _kept(
    run: Run,
    controls: Controls,
    neurons: NeuronSet | None,
    generation: Generation | None,
    known: Shown | None,
    linked: Record | None,
) -> Record | None:
    """What is kept of the answers that are shown; None while there are none."""
    if generation is not None:
        return None if generation.active or not generation.tokens else record_of(generation)
    if linked is not None or known is None or neurons is None:
        return linked
    control = control_of(controls, neurons)[0] if CONTROL in known.columns else None
    asked = Request(
        known.prompt,
        neurons,
        known.max_new_tokens,
        {"ranking": controls.ranking, "kind": controls.kind},
        direction=controls.direction,
        strength=controls.strength,
        positions=controls.where,
        control=control,
        before=conversation_view.before(controls),
        settings=settings_of(controls),
        origin=origin_of(run, controls.ranking),
        sampling=controls.sampling if known.decoding != GREEDY else None,
    )
    return record("known", known.columns, asked)
