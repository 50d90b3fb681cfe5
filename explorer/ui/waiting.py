"""What a page says while its work waits in the queue of a pair, how often it looks, and how work gets there."""

from typing import TypeVar

import streamlit as st

from explorer.pipeline.status import duration
from explorer.serve.job import Job, Phase
from explorer.serve.pairs import PairService
from explorer.ui.shared_pairs import visitor

AnyJob = TypeVar("AnyJob", bound=Job)

_EVERY, _SELDOM, _WAITING = 0.2, 1.0, 2.0
"""Seconds between two looks at a job: at a lone one, at one of many, and at one that waits for others."""


def look_every(job: Job) -> float:
    """Seconds between two looks: more of them the more are written at once, since each then writes less in a second and
    the pages are drawn by the machine that writes; ten times as many while others come before it."""
    if job.phase is Phase.WAITING and job.ahead:
        return _WAITING
    return min(_EVERY * job.beside, _SELDOM)


def waiting_words(service: PairService, job: Job) -> str:
    """Its place in the queue, and how long it will wait at most where that is known."""
    ahead, seconds = service.worker.place_of(job)
    place = f"{ahead} before yours" if ahead else "yours is next"
    left = "" if seconds is None else f", at most about {duration(max(1.0, seconds))}"
    return f":material/hourglass_top: In the queue: {place}{left}."


def shows_waiting(service: PairService, job: Job) -> bool:
    """Say that a job waits, or that its models are being loaded; False where neither is so, and nothing is shown."""
    match job.phase:
        case Phase.WAITING:
            st.caption(waiting_words(service, job))
        case Phase.LOADING:
            what, done = job.loading
            st.progress(done, text=what)
        case _:
            return False
    return True


def ask_instead(service: PairService, key: str, job: AnyJob) -> AnyJob:
    """Queue a job in place of the one that the session has under a key, which is dropped.

    Raises:
        ExplorerError: the queue takes no more.
    """
    earlier: Job | None = st.session_state.get(key)
    if earlier is not None:
        earlier.drop()
    service.worker.submit(job, visitor())
    st.session_state[key] = job
    return job
