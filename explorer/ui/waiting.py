"""What a page says while its work waits in the queue of a pair, and how often it looks."""

from explorer.pipeline.status import duration
from explorer.serve.job import Job, Phase
from explorer.serve.pairs import PairService

_EVERY, _WAITING = 0.2, 2.0


def look_every(job: Job) -> float:
    """Seconds between two looks: ten times as many while others come before it, for there is nothing new to draw."""
    return _WAITING if job.phase is Phase.WAITING and job.ahead else _EVERY


def waiting_words(service: PairService, job: Job) -> str:
    """Its place in the queue, and how long it will wait at most where that is known."""
    ahead, seconds = service.worker.place_of(job)
    place = f"{ahead} before yours" if ahead else "yours is next"
    left = "" if seconds is None else f", at most about {duration(max(1.0, seconds))}"
    return f":material/hourglass_top: In the queue: {place}{left}."
