"""Attribution against the same forward and backward passes written bare, and the memory it takes."""

import sys

import torch
from torch.nn import functional

from explorer.data.suites_io import load_suite
from explorer.engine.attribution import Answered, AttributionSums, _add, attribute
from explorer.engine.reading import TokenText, inputs_of
from tests.bench.contrasting import flat_memory, measure_peaks
from tests.bench.measure import Line, side_by_side

ANSWER = 24
STEPS = (0.0, 0.2, 0.4, 0.6, 0.8)


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
    """The peak above the model for 100 prompts and for 1,000, see `contrasting.memory`."""
    return flat_memory("attribution", "tests.bench.attributing", dtype)


if __name__ == "__main__":
    # A target text: what is measured is the reading, at one step.
    measure_peaks(lambda pair, prompts: attribute(pair, prompts, target="I can't", steps=1), sys.argv[1])
