"""The model pairs in the app: one service of each for all sessions.

service = pair_service(pair_name(run))
service.worker.submit(generation, visitor())
"""

import uuid

import streamlit as st

from explorer.serve.pairs import PAIRS, PairService

_VISITOR = "visitor"


def pair_service(name: str) -> PairService:
    """The one service of a pair."""
    return PAIRS.service(name)


def visitor() -> str:
    """What tells this session's work from that of others: the queue takes from all sessions in turn."""
    if _VISITOR not in st.session_state:
        st.session_state[_VISITOR] = uuid.uuid4().hex
    return str(st.session_state[_VISITOR])
