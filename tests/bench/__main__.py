"""`make bench`: ratios measured side by side in one run, on the embedded pair.

Each item alternates ours and its peer, so that what else the machine does falls on both; the median of
the runs is compared.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

import explorer
from explorer.data.suites_io import load_suite
from explorer.neurons.contrast import _accumulate, _Sums
from explorer.neurons.patching import generate, sweep
from explorer.neurons.reference import naive_patched
from explorer.neurons.sets import NeuronSet

REPEATS = 5
NEW = 48


@dataclass(frozen=True)
class Item:
    """One comparison: seconds of ours and of the peer, and the ratio that is wanted."""

    name: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    peer_name: str
    goal: str


def main() -> None:
    torch.manual_seed(0)
    pair = explorer.load_pair("demo")
    prompts = [p.prompt for p in load_suite("redteam_eval", 16)]
    ns = NeuronSet.random(pair, pair.total_neurons // 20)
    long_prompt = max(prompts, key=lambda p: min(_lengths(pair, p, ns)))
    ids = pair.encode(long_prompt)
    row = torch.tensor([ids])

    def hf_generate() -> None:
        with torch.inference_mode():
            pair.m1.generate(row, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=2)

    texts = [(pair.encode(p) + [30] * 40, range(20, 60)) for p in prompts]
    batch = torch.zeros(len(texts), max(len(t) for t, _ in texts), dtype=torch.long)

    def two_bare_passes() -> None:
        with torch.inference_mode():
            for model in (pair.m1, pair.m2):
                model.base_model(input_ids=batch, use_cache=False)

    items = [
        Item(
            "three columns, one prompt, 48 tokens",
            lambda: generate(pair, [long_prompt], ns, NEW),
            hf_generate,
            "HF generate, unpatched only",
            "≤ 1.0",
        ),
        Item(
            "patched answer, fast form, 16 tokens",
            lambda: sweep(pair, [long_prompt], [ns], 16, unpatched=False, aligned=False),
            lambda: naive_patched(pair, ids, ns, 16),
            "naive reference",
            "< 1",
        ),
        Item(
            "16 prompts in one batch, 3 columns",
            lambda: generate(pair, prompts, ns, 16),
            lambda: [generate(pair, [p], ns, 16) for p in prompts],
            "one prompt after another",
            "< 1",
        ),
        Item(
            "contrast of 16 texts",
            lambda: _accumulate(pair, texts, _Sums.zeros(pair)),
            two_bare_passes,
            "two bare forward passes",
            "≤ 1.11",
        ),
    ]
    print(f"{'item':40} {'ours':>8} {'peer':>8} {'ratio':>7}  goal    peer is")
    for item in items:
        ours, peer = _side_by_side(item)
        print(f"{item.name:40} {ours:7.2f}s {peer:7.2f}s {ours / peer:7.2f}  {item.goal:7} {item.peer_name}")


def _lengths(pair, prompt: str, ns: NeuronSet) -> list[int]:
    out = generate(pair, [prompt], ns, NEW)
    return [len(column[0].token_ids) for column in (out.unpatched, out.patched, out.aligned)]


def _side_by_side(item: Item) -> tuple[float, float]:
    item.ours()
    item.peer()
    ours, peer = [], []
    for _ in range(REPEATS):
        ours.append(_seconds(item.ours))
        peer.append(_seconds(item.peer))
    return statistics.median(ours), statistics.median(peer)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
