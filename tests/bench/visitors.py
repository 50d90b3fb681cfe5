"""Many visitors at one pair: how long each waits beside a lone one, and whether every answer is the Python API's.

python -m tests.bench.visitors --visitors 8 --tokens 64 --rounds 2
"""

import argparse
import statistics
import threading
import time

import psutil

import explorer
from explorer.data.suites_io import load_suite
from explorer.runs.reader import find_run
from explorer.serve.generation import COLUMNS, Generation, Request
from explorer.serve.loading import SharedPair
from explorer.serve.worker import Worker


def ask(worker: Worker, request: Request, visitor: str, pause: float = 0.05) -> tuple[float, float, Generation]:
    """Seconds until the first word and until the last score of a request, looked at after each pause."""
    generation, start, first = Generation(request), time.monotonic(), 0.0
    worker.submit(generation, visitor)
    while generation.active:
        generation.drain()
        if generation.tokens and not first:
            first = time.monotonic() - start
        time.sleep(pause)
    return first, time.monotonic() - start, generation


def main() -> None:
    """Print what a lone visitor waits, what many wait, and how many answers are as they should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--known", action="store_true", help="At prompts that somebody has tried with other neurons.")
    parser.add_argument("--check", type=int, default=8, help="Answers that are compared with the Python API's.")
    args = parser.parse_args()
    pair = explorer.load_pair("demo", dtype=args.dtype)
    ranking = find_run("demo").ranking(find_run("demo").main_ranking)
    prompts = [p.prompt for p in load_suite("redteam_eval")][: args.visitors * args.rounds]
    sizes = (0.005, 0.01, 0.02)
    requests = [Request(p, ranking.top(fraction=sizes[i % 3]), args.tokens) for i, p in enumerate(prompts)]
    worker = Worker(SharedPair("demo", lambda _tell: pair))
    ask(worker, Request("Hello", ranking.top(fraction=0.01), 8), "warm")
    for prompt in prompts if args.known else ():
        ask(worker, Request(prompt, ranking.top(fraction=0.05), args.tokens), "before")

    alone = [ask(worker, request, "lone") for request in requests[:3]]
    first, done = (statistics.median(one[i] for one in alone) for i in (0, 1))
    print(f"alone: first word {first:.1f} s, done {done:.1f} s")
    rss = psutil.Process().memory_info().rss / 1e6

    found: dict[int, tuple[float, float, Generation]] = {}

    def visit(number: int) -> None:
        for turn in range(args.rounds):
            which = turn * args.visitors + number
            found[which] = ask(worker, requests[which], str(number))

    began = time.monotonic()
    threads = [threading.Thread(target=visit, args=(i,)) for i in range(args.visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    tokens = sum(generation.tokens for _, _, generation in found.values())
    firsts, lasts = ([one[i] for one in found.values()] for i in (0, 1))
    cut = sum(bool(generation.problem or generation.notice) for _, _, generation in found.values())
    print(
        f"{args.visitors} at once: first word {statistics.median(firsts):.1f} s, done {statistics.median(lasts):.1f} s "
        f"(longest {max(lasts):.1f}); {tokens / took:.0f} tokens/s in all; {len(found)} answered, {cut} not whole"
    )
    print(f"memory {rss:.0f} MB before, {psutil.Process().memory_info().rss / 1e6:.0f} MB after")

    wrong = 0
    for which in range(min(args.check, len(found))):
        request, generation = requests[which], found[which][2]
        out = explorer.generate(pair, [request.prompt], request.neurons, args.tokens)
        wrong += any(getattr(out, name)[0].text != generation.columns[name].text for name in COLUMNS)
    print(f"{wrong} of {min(args.check, len(found))} differ from the Python API")


if __name__ == "__main__":
    main()
