"""`make bench`: the goals of speed and memory, measured side by side in one run, as one table.

    python -m tests.bench                                     # everything, plain transformers hooks as the peer
    python -m tests.bench --only generation --dtype float32
    python -m tests.bench --peers .venv-peers/bin/python      # the other tools (`make bench-peers`)

Ours and its peer alternate, so that what else the machine does falls on both; medians of five are compared.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

import explorer
from explorer.models.pair_spec import DTYPES
from explorer.paths import PROJECT
from tests.bench import attributing, contrasting, generation, large, memory, pages, start
from tests.bench.measure import Line, machine, show
from tests.bench.peers.__main__ import TOOLS

GROUPS = ("generation", "families", "contrast", "attribution", "sweep", "pages", "start", "memory", "large", "seven")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="of all models (auto: bfloat16 where native)")
    parser.add_argument(
        "--only", choices=GROUPS, nargs="+", default=GROUPS[:-2], help="groups to measure (all but large and seven)"
    )
    parser.add_argument(
        "--peers", metavar="PYTHON", help="the interpreter of the peers' environment: measure them only"
    )
    args = parser.parse_args()

    torch.manual_seed(0)
    threads = torch.get_num_threads()
    pair = explorer.load_pair("demo", dtype=args.dtype)
    print(machine(pair.dtype, threads), end="\n\n", flush=True)
    lines: list[Line] = []
    for line in _peers(pair, threads, args.peers) if args.peers else _ours(pair, threads, args.only):
        lines.append(line)
        ratio = "" if line.ratio is None else f", ratio {line.ratio:.2f}"
        print(f"  measured: {line.item}: {line.ours}; {line.peer}{ratio}", file=sys.stderr, flush=True)
    print(show(lines))


def _ours(pair, threads: int, only: tuple[str, ...]) -> Iterator[Line]:
    if "generation" in only:
        yield generation.three_columns(pair)
        yield from generation.against_peer(pair, "transformers hooks", generation.plain_hooks(pair, threads))
    if "families" in only:
        yield generation.another_family()
    if "contrast" in only:
        yield contrasting.throughput(pair)
        yield contrasting.memory(pair.dtype)
    if "attribution" in only:
        yield attributing.throughput(pair)
        yield attributing.memory(pair.dtype)
    if "sweep" in only:
        yield generation.fraction_sweep(pair)
    if "pages" in only:
        yield from pages.pages()
    if "start" in only:
        yield from start.start()
    if "memory" in only:
        yield from start.memory(pair.dtype)
        yield memory.line("1.1B")
    if "large" in only:
        yield large.attribution()
    if "seven" in only:
        yield memory.line("7B")


def _peers(pair, threads: int, python: str) -> Iterator[Line]:
    """Every other tool in a process of its own that waits while ours runs."""
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.pt"
        generation.make_job(pair, threads).save(job)
        for tool in TOOLS:
            command = [python, "-m", "tests.bench.peers", tool, str(job)]
            with subprocess.Popen(
                command,
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            ) as peer:
                first = json.loads(peer.stdout.readline() or '{"problem": "it ended without a word"}')
                if "problem" in first:
                    yield Line(f"patched answers, {tool}", "", f"could not run: {first['problem']}", None, "", None)
                    continue
                yield from generation.against_peer(pair, f"{tool} {first['version']}", _asker(peer))
                peer.stdin.close()


def _asker(peer: subprocess.Popen) -> Callable[[str], tuple[float, list[list[int]]]]:
    def ask(name: str) -> tuple[float, list[list[int]]]:
        peer.stdin.write(name + "\n")
        peer.stdin.flush()
        said = json.loads(peer.stdout.readline())
        return said["seconds"], said["tokens"]

    return ask


if __name__ == "__main__":
    main()
