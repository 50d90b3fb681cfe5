"""Contrast against bare forward passes, and the memory it takes (goal 3)."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import torch

from explorer.data.suites_io import load_suite
from explorer.engine.contrast import _accumulate, contrast
from explorer.engine.reading import TokenText, batches, inputs_of
from explorer.engine.sums import Sums
from explorer.models.pair import Pair
from tests.bench.measure import Line, forget_peak, resident_mb, side_by_side

ANSWER = 40


def throughput(pair) -> Line:
    """The accumulation over 16 texts against two bare forward passes of the same batch."""
    prompts = [pair.encode(p.prompt) for p in load_suite("redteam_eval", 16)]
    ((_, texts),) = batches([TokenText(ids, [30] * ANSWER) for ids in prompts], len(prompts))
    batch = inputs_of(pair.m1, texts)["input_ids"]

    def bare() -> None:
        with torch.inference_mode():
            for model in (pair.m1, pair.m2):
                model.base_model(input_ids=batch, use_cache=False)

    sums = Sums.zeros(pair.n_layers, pair.n_neurons)
    ours, theirs = side_by_side(lambda: _accumulate(pair, texts, "paper", sums), bare)
    tokens = sum(len(t.prompt) + len(t.answer) for t in texts)
    return Line(
        "contrast of 16 texts",
        f"{tokens / ours:,.0f} tokens/s",
        f"{tokens / theirs:,.0f} tokens/s, two bare forward passes",
        theirs / ours,
        "≥ 0.9",
        theirs / ours >= 0.9,
    )


def memory(dtype: str) -> Line:
    """The peak above the model for 100 prompts and for 1,000, in a process of its own.

    glibc keeps what is freed for the next that asks, more of it the longer a process runs, and oneDNN keeps a kernel
    for each number of rows. Here the first gives all back and the second has seen every number once, so that what is
    measured is what is held.
    """
    return flat_memory("contrast", "tests.bench.contrasting", dtype)


def flat_memory(what: str, module: str, dtype: str) -> Line:
    """See `memory`; the module prints both peaks when it is run with a dtype."""
    command = [sys.executable, "-m", module, dtype]
    giving_back = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=giving_back)
    few, many = json.loads(done.stdout.splitlines()[-1])
    return Line(
        f"{what}, peak memory for 1,000 prompts",
        f"{many:.0f} MB",
        f"{few:.0f} MB for 100 prompts, both above the model",
        many / few,
        "≤ 1.05",
        many / few <= 1.05,
    )


def measure_peaks(work: Callable[[Pair, list[str]], object], dtype: str) -> None:
    """Print the peaks above the model, in MB, of work on 100 prompts and on 1,000."""
    import explorer

    pair = explorer.load_pair("demo", dtype=dtype)
    # Short prompts and answers, all of one length: what could grow is what is kept of each.
    prompts = [f"Say {number:04d}." for number in range(1000)]
    work(pair, prompts[:1])
    base = resident_mb()
    counts, peaks = (100, 1000), []
    for count in counts:
        work(pair, prompts[:count])
    for count in counts:
        forget_peak()
        work(pair, prompts[:count])
        peaks.append(resident_mb("VmHWM") - base)
    print(json.dumps(peaks))


if __name__ == "__main__":
    measure_peaks(lambda pair, prompts: contrast(pair, prompts, 2), sys.argv[1])
