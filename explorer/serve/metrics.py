"""What a server does, as numbers for operators, in the text form of Prometheus.

metrics_text()
"""

from collections.abc import Iterator

from explorer.serve.pairs import PAIRS, PairService

_HELP = {
    "jobs_waiting": ("gauge", "Jobs in the queue."),
    "jobs_working": ("gauge", "Jobs at work, answers written side by side included."),
    "jobs_total": ("counter", "Jobs that are over, by kind and outcome."),
    "tokens_total": ("counter", "Tokens written, all columns together."),
    "step_seconds": ("gauge", "Seconds between two steps of what is being written, running mean."),
    "job_seconds": ("gauge", "Seconds from the beginning of a job to its last word, running mean."),
    "pair_loaded": ("gauge", "1 where a pair's models are loaded."),
    "pair_bytes": ("gauge", "Bytes that a loaded pair's weights take."),
    "memory_bytes": ("gauge", "Resident memory of the server."),
}

Sample = tuple[str, dict[str, str], float]


def metrics_text() -> str:
    """All metrics, each with its type and what it means."""
    by_name: dict[str, list[str]] = {name: [] for name in _HELP}
    for name, labels, value in _samples():
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        by_name[name].append(
            f"safety_neurons_{name}{{{inner}}} {value:g}" if inner else f"safety_neurons_{name} {value:g}"
        )
    lines = []
    for name, (kind, about) in _HELP.items():
        if by_name[name]:
            lines += [f"# HELP safety_neurons_{name} {about}", f"# TYPE safety_neurons_{name} {kind}", *by_name[name]]
    return "\n".join(lines) + "\n"


def _samples() -> Iterator[Sample]:
    import psutil

    for name, service in PAIRS.all().items():
        yield from _of_pair(name, service)
    yield "memory_bytes", {}, float(psutil.Process().memory_info().rss)


def _of_pair(name: str, service: PairService) -> Iterator[Sample]:
    pair, worker = {"pair": name}, service.worker
    waiting, working = worker.counts()
    yield "jobs_waiting", pair, waiting
    yield "jobs_working", pair, working
    for (kind, outcome), count in worker.outcomes.copy().items():
        yield "jobs_total", {**pair, "kind": kind, "outcome": outcome}, count
    yield "tokens_total", pair, worker.tokens
    for what, seconds in (("step_seconds", worker.pace.step), ("job_seconds", worker.pace.job)):
        if seconds is not None:
            yield what, pair, seconds
    yield "pair_loaded", pair, float(service.pair.ready)
    if service.pair.bytes:
        yield "pair_bytes", pair, service.pair.bytes


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
