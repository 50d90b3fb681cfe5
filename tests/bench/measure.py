"""What is measured side by side, and the one table that it is printed in."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from explorer.paths import PROJECT

REPEATS = 5

Work = Callable[[], object]


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        item: what was done.
        ours, peer: how long or how much, with the unit; what the peer or the bound is, in its words.
        ratio: in the direction of the goal; None where the goal is a bound on `ours`.
        goal: what it should be.
        met: whether it is; None where nothing was measured.
    """

    item: str
    ours: str
    peer: str
    ratio: float | None
    goal: str
    met: bool | None


def at_most(item: str, value: float, bound: float, unit: str, about: str = "") -> Line:
    """A line whose goal is a bound."""
    return Line(item, _with_unit(value, unit), about or "bound", None, f"< {_with_unit(bound, unit)}", value < bound)


def side_by_side(ours: Work, peer: Work, repeats: int = REPEATS) -> tuple[float, float]:
    """Median seconds of both, alternating, so that what else the machine does falls on both; warmed up once."""
    ours()
    peer()
    times = [(seconds(ours), seconds(peer)) for _ in range(repeats)]
    first, second = zip(*times, strict=True)
    return statistics.median(first), statistics.median(second)


def median_seconds(work: Work, repeats: int = REPEATS) -> float:
    return statistics.median(seconds(work) for _ in range(repeats))


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def never_ending(pair) -> Iterator[None]:
    """No token ends an answer: every column is written to the limit."""
    before = pair.stop_ids
    pair.__dict__["stop_ids"] = frozenset()
    try:
        yield
    finally:
        pair.__dict__["stop_ids"] = before


def own_process(*arguments: str, **environment: str) -> str:
    """The last line that Python prints with these arguments, in a process of its own; "" where it prints none.

    Args:
        arguments: of the interpreter that runs this ("-m", module, …).
        environment: variables beside those of this process.

    Raises:
        RuntimeError: it failed; the end of what it wrote to standard error.
    """
    with tempfile.TemporaryFile("w+") as errors:  # not a pipe: a long error would fill it while nobody reads
        command, settings = [sys.executable, *arguments], {**os.environ, **environment}
        done = subprocess.run(command, cwd=PROJECT, env=settings, stdout=subprocess.PIPE, stderr=errors, text=True)
        if done.returncode:
            errors.seek(0)
            raise RuntimeError(errors.read()[-2000:])
    return done.stdout.splitlines()[-1] if done.stdout.strip() else ""


def resident_mb(field: str = "VmRSS") -> float:
    """What this process holds, or held at most ("VmHWM"), in MB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return float("nan")


def forget_peak() -> None:
    """Let "VmHWM" begin again from what is held now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def machine(dtype: str, threads: int) -> str:
    """The machine and what is computed in, in one line."""
    import torch
    import transformers

    about, flags = platform.processor() or platform.machine(), set()
    info = Path("/proc/cpuinfo")
    if info.exists():
        first = info.read_text().split("\n\n")[0].replace("\t", "").splitlines()
        fields = dict(line.split(":", 1) for line in first if ":" in line)
        about, flags = fields.get("model name", about).strip(), set(fields.get("flags", "").split())
    known = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags]
    return (
        f"{about}, {threads} threads, {' '.join(known) or 'no vector flags known'}; {dtype}; "
        f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    )


def show(lines: list[Line]) -> str:
    """The table in Markdown."""
    rows = [("item", "ours", "peer or bound", "ratio", "goal", "met")]
    for line in lines:
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        met = {True: "yes", False: "no", None: "not measured"}[line.met]
        rows.append((line.item, line.ours, line.peer, ratio, line.goal, met))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    text = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    text.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(text)


def _with_unit(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 20 else f"{value:.2f} {unit}"
