"""Contrast against bare forward passes, and the memory it takes (goal 3)."""

import json
import sys

import torch

import explorer
from explorer.data.suites_io import load_suite
from explorer.engine.contrast import _accumulate
from explorer.engine.reading import TokenText, batches, inputs_of
from explorer.engine.sums import Summing, Sums
from tests.bench.measure import Line, forget_peak, own_process, resident_mb, side_by_side

ANSWER = 40
COUNTS = (100, 1000)
GIVING_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
"""glibc gives the system back whatever is freed."""


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

    def contrast() -> None:
        with Summing(sums) as summing:
            _accumulate(pair, texts, "paper", summing)

    ours, theirs = side_by_side(contrast, bare)
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
    few, many = json.loads(own_process("-m", "tests.bench.contrasting", dtype, **GIVING_BACK))
    return flat("contrast", COUNTS, few, many)


def flat(what: str, counts: tuple[int, int], few: float, many: float) -> Line:
    """The line of a memory that does not grow: peaks above the model in MB, for both numbers of prompts."""
    return Line(
        f"{what}, peak memory for {counts[1]:,} prompts",
        f"{many:.0f} MB",
        f"{few:.0f} MB for {counts[0]} prompts, both above the model",
        many / few,
        "≤ 1.05",
        many / few <= 1.05,
    )


def _measure(dtype: str) -> None:
    """Print the peaks above the model, in MB."""
    pair = explorer.load_pair("demo", dtype=dtype)
    # Short prompts and answers, all of one length: what could grow is what is kept of each.
    prompts = [f"Say {number:04d}." for number in range(COUNTS[1])]
    explorer.contrast(pair, prompts[:1], 2)
    base = resident_mb()
    peaks = []
    for count in COUNTS:
        explorer.contrast(pair, prompts[:count], 2)
    for count in COUNTS:
        forget_peak()
        explorer.contrast(pair, prompts[:count], 2)
        peaks.append(resident_mb("VmHWM") - base)
    print(json.dumps(peaks))


if __name__ == "__main__":
    _measure(sys.argv[1])
