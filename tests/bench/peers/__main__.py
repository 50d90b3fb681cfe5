"""A peer as a process that answers when it is asked to: started by `make bench-peers`, once for each tool.

    python -m tests.bench.peers TOOL JOB

Reads the name of a batch from each line of standard input, answers it, and writes one line of JSON: the seconds it
took and the tokens. The first line that it writes says which version of the tool it is, or why it cannot run.
"""

import argparse
import contextlib
import importlib
import io
import json
import sys
import time
from importlib import metadata
from pathlib import Path

TOOLS = {
    "transformer-lens": "transformer_lens_hooks",
    "nnsight": "nnsight_traces",
    "pyvene": "pyvene_interventions",
    "transformers": "plain_hooks",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("job", type=Path)
    args = parser.parse_args()
    out = sys.stdout

    def say(**what: object) -> None:
        print(json.dumps(what), file=out, flush=True)

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import torch

            from tests.bench.peers.job import Job, answer

            job = Job.load(args.job)
            torch.set_num_threads(job.threads)
            guide, patched = importlib.import_module(f"tests.bench.peers.{TOOLS[args.tool]}").passes(job)
            answer(next(iter(job.batches.values()))[:1], 2, guide, patched)
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is what gets recorded
        say(problem=f"{type(problem).__name__}: {problem}".splitlines()[0][:300])
        return
    say(version=metadata.version(args.tool))
    for line in sys.stdin:
        prompts = job.batches[line.strip()]
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            tokens = answer(prompts, job.new, guide, patched)
        say(seconds=time.perf_counter() - start, tokens=tokens)


if __name__ == "__main__":
    main()
