"""What a run does not hold of a neuron, computed with the models on demand, in the queue that generations wait in."""

import streamlit as st

from explorer.models.prompting import check_prompt
from explorer.runs.reader import Run
from explorer.serve.neuron_reading import LiveDetail, NeuronReading, NeuronRequest
from explorer.serve.pairs import PairService, pair_name, why_not_installed
from explorer.ui.plain import plain, show_problem
from explorer.ui.shared_pairs import pair_service, visitor
from explorer.ui.waiting import look_every, shows_waiting

_READING = "live-reading"


def live_detail(run: Run, layer: int, neuron: int, prompt: str) -> LiveDetail | None:
    """Offer to compute; the result once it was asked for, None before.

    Raises:
        ExplorerError: the prompt is not usable.
    """
    missing = why_not_installed(pair_name(run))
    with st.form("live", border=False):
        text = st.text_area("Prompt", value=prompt, key=f"live_prompt_{prompt}", height=80)
        pressed = st.form_submit_button(NeuronReading.button, icon=":material/memory:", disabled=bool(missing))
    if missing:
        show_problem(missing)
        return None
    tokens = int(run.manifest.get("decoding", {}).get("max_new_tokens", 48))
    request = NeuronRequest(text.strip(), layer, neuron, tokens)
    wanted = (str(run.path), request)
    service = pair_service(pair_name(run))
    if pressed:
        check_prompt(text)
        _forget()
        reading = NeuronReading(request)
        service.worker.submit(reading, visitor())
        st.session_state[_READING] = (wanted, reading)
    asked, known = st.session_state.get(_READING, (None, None))
    if known is None:
        return None
    if asked != wanted:  # another neuron or prompt is shown now
        _forget()
        return None
    known.drain()
    if known.active:
        st.fragment(_follow, run_every=look_every(known))(service, known)
        return None
    if known.problem:
        show_problem(known.problem)
    elif known.notice:
        st.warning(plain(known.notice), icon=":material/timer_off:")
    found: LiveDetail | None = known.result
    return found


def _forget() -> None:
    _, before = st.session_state.pop(_READING, (None, None))
    if before is not None:
        before.drop()


def _follow(service: PairService, reading: NeuronReading) -> None:
    every = look_every(reading)
    reading.drain()
    if not reading.active or look_every(reading) != every:
        st.rerun()
    if not shows_waiting(service, reading):
        st.caption(":material/memory: M1 answers, both models read…")
