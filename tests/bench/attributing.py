"""Attribution against the same forward and backward passes written bare, and the memory it takes."""

import sys

import torch
from torch.nn import functional

import explorer
from explorer.data.suites_io import load_suite
from explorer.engine.attribution import Answered, _add
from explorer.engine.attribution_sums import AttributionSums
from explorer.engine.reading import TokenText, inputs_of
from tests.bench.contrasting import GIVING_BACK, flat
from tests.bench.measure import Line, forget_peak, own_process, resident_mb, side_by_side

ANSWER = 24
STEPS = (0.0, 0.2, 0.4, 0.6, 0.8)
COUNTS = (48, 480)


def throughput(pair) -> Line:
    """Eight texts at five steps, against one bare forward of M2 and five forwards and backwards of M1.

    The bare passes have gradients by the embeddings, so that they go through every layer, and logits at the positions
    that predict the answers alone, as ours do.
    """
    prompts = [pair.encode(p.prompt) for p in load_suite("redteam_eval", 8)]
    texts = [Answered(ids, tuple([30] * ANSWER)) for ids in prompts]
    batch = inputs_of(pair.m1, [TokenText(t.prompt, t.answer[:-1]) for t in texts])["input_ids"]
    rows = torch.arange(len(texts)).repeat_interleave(ANSWER)
    at = torch.tensor([len(t.prompt) - 1 + i for t in texts for i in range(ANSWER)])
    tokens = torch.tensor([token for t in texts for token in t.answer])

    def bare() -> None:
        with torch.no_grad():
            pair.m2.base_model(input_ids=batch, use_cache=False)
        for _ in STEPS:
            x = pair.m1.get_input_embeddings()(batch).detach().requires_grad_()
            hidden = pair.m1.base_model(inputs_embeds=x, use_cache=False).last_hidden_state[rows, at]
            functional.cross_entropy(pair.m1.get_output_embeddings()(hidden).float(), tokens).backward()

    sums = AttributionSums.zeros(len(STEPS), pair.n_layers, pair.n_neurons)
    ours, theirs = side_by_side(lambda: _add(pair, texts, STEPS, sums), bare)
    count = sum(len(text) for text in texts)
    return Line(
        "attribution of 8 texts, 5 steps",
        f"{count / ours:,.0f} tokens/s",
        f"{count / theirs:,.0f} tokens/s, bare forward and backward passes",
        ours / theirs,
        "≤ 1.2",
        ours / theirs <= 1.2,
    )


def memory(dtype: str) -> Line:
    """The peak above the model for few prompts and for ten times as many, each in a fresh process.

    48 and 480 instead of 100 and 1,000, which take ten minutes: 480 are read in four chunks (`contrast.CHUNK`), and
    both are whole batches of 16 texts, so that oneDNN makes its kernels for the same numbers of rows in both.
    """
    few, many = (float(own_process("-m", "tests.bench.attributing", dtype, str(n), **GIVING_BACK)) for n in COUNTS)
    return flat("attribution", COUNTS, few, many)


def _measure(dtype: str, count: int) -> None:
    """Print the peak above the model, in MB, of so many prompts."""
    pair = explorer.load_pair("demo", dtype=dtype)
    prompts = [f"Say {number:04d}." for number in range(count)]  # all of one length, as in `contrasting`

    def work(some: list[str]) -> None:  # a target text: what is measured is the reading, at one step
        explorer.attribute(pair, some, target="I can't", steps=1)

    work(prompts[:1])
    base = resident_mb()
    forget_peak()
    work(prompts)
    print(resident_mb("VmHWM") - base)


if __name__ == "__main__":
    _measure(sys.argv[1], int(sys.argv[2]))
