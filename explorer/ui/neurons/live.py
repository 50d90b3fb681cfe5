"""What a run does not hold of a neuron, computed with the models on demand. torch is imported then, not before."""

import threading
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from explorer.models.prompting import check_prompt
from explorer.runs.reader import Run

_ASKED, _FOUND = "live_asked", "live_found"
_ONE_AT_A_TIME = threading.Lock()
"""Hooks on a model are seen by every thread that uses it."""


@dataclass(frozen=True)
class LiveDetail:
    """Words (position, token, part, m1, m2) and projection (direction, place, token, logit) of a neuron."""

    words: pd.DataFrame
    projection: pd.DataFrame


def live_detail(run: Run, layer: int, neuron: int, prompt: str) -> LiveDetail | None:
    """Offer to compute; the result once it was asked for, None before.

    Raises:
        ExplorerError: the prompt is not usable.
    """
    with st.form("live", border=False):
        text = st.text_area("Prompt", value=prompt, key=f"live_prompt_{prompt}", height=80)
        pressed = st.form_submit_button("Compute with the model", icon=":material/memory:")
    tokens = int(run.manifest.get("decoding", {}).get("max_new_tokens", 48))
    wanted = (str(run.path), layer, neuron, text.strip(), tokens)
    if pressed:
        check_prompt(text)
        st.session_state[_ASKED] = wanted
    if st.session_state.get(_ASKED) != wanted:
        return None
    done, found = st.session_state.get(_FOUND, (None, None))
    if done != wanted:
        found = _compute(run, layer, neuron, text.strip(), tokens)
        st.session_state[_FOUND] = (wanted, found)
    return found


def _compute(run: Run, layer: int, neuron: int, prompt: str, tokens: int) -> LiveDetail:
    from explorer.ui.shared_pairs import pair_or_explain

    pair = pair_or_explain(run)  # ends the page while the models load; it then comes back by itself
    from explorer.engine.inspect import activations_over_words, vocabulary_projection

    with st.spinner("M1 answers, both models read…"), _ONE_AT_A_TIME:
        words = activations_over_words(pair, prompt, layer, neuron, tokens)
        return LiveDetail(words, vocabulary_projection(pair, layer, neuron, top=10))
