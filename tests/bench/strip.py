"""The Patch lab's film strip beside three columns of the same prompt, both through the queue that the app uses.

python -m tests.bench.strip --tokens 40
"""

import argparse
import statistics
import time

import explorer
from explorer.data.suites_io import load_presets
from explorer.models.pair import Pair
from explorer.runs.reader import find_run
from explorer.serve.generation import Generation, Request
from explorer.serve.loading import SharedPair
from explorer.serve.strip import FRACTIONS, Strip, StripRequest
from explorer.serve.worker import Worker


def worker_of(pair: Pair) -> Worker:
    """A worker that knows no answers."""
    return Worker(SharedPair("demo", lambda _tell: pair))


def seconds(worker: Worker, job: Generation | Strip) -> float:
    """From asking to the last answer, scores included where there are any."""
    began = time.monotonic()
    worker.submit(job)
    while job.active:
        job.drain()
        time.sleep(0.01)
    return time.monotonic() - began


def main() -> None:
    """Print seconds and ratios for each preset, and their medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args()
    pair, run = explorer.load_pair("demo", dtype=args.dtype), find_run("demo")
    ranking = run.ranking(run.main_ranking)
    sets = {fraction: ranking.top(fraction=fraction) for fraction in FRACTIONS}

    def three(prompt: str) -> Generation:
        return Generation(Request(prompt, sets[0.01], args.tokens))

    def strip(prompt: str) -> Strip:
        return Strip(StripRequest(prompt, sets, args.tokens))

    for job in (three("Hello"), strip("Hello")):  # packs weights, and lets memory grow
        seconds(worker_of(pair), job)
    after, anew = [], []
    for prompt in [preset.prompt for preset in load_presets()]:
        worker = worker_of(pair)
        columns = seconds(worker, three(prompt))
        after.append(seconds(worker, strip(prompt)) / columns)
        anew.append(seconds(worker_of(pair), strip(prompt)) / columns)
        print(f"three columns {columns:.2f} s; strip after them {after[-1]:.2f} times, by itself {anew[-1]:.2f} times")
    print(f"medians of {len(after)}: {statistics.median(after):.2f} and {statistics.median(anew):.2f}")


if __name__ == "__main__":
    main()
