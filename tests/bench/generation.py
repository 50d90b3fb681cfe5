"""Three columns for the price of one, patched tokens a second, and a sweep over fractions (goals 1, 2 and 4)."""

import copy
import random
import statistics
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import explorer
from explorer.data.suites_io import load_suite
from explorer.engine.drafts import NgramDraft
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import generate, sweep
from explorer.models import embedded
from explorer.models.pair import Pair
from explorer.models.pair_spec import ModelSpec, PairSpec
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.bench.measure import REPEATS, Line, never_ending, seconds, side_by_side
from tests.bench.peers.job import Job, answer

COLUMN_TOKENS, PEER_TOKENS, SWEEP_TOKENS = 48, 24, 32
PROMPTS = 16
GOALS = {"one": 4.0, "sixteen": 2.5}
NAMES = {
    "one": f"patched answers, 1 prompt at a time ({PROMPTS} of them)",
    "sixteen": f"patched answers, {PROMPTS} prompts",
}
FRACTIONS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
SAMPLED = 6

GEMMA_270M = {
    "vocab_size": 262_144,
    "hidden_size": 640,
    "intermediate_size": 2_048,
    "num_hidden_layers": 18,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "sliding_window": 512,
}


class Undrafted:
    """Proposes nothing: random weights repeat themselves, which no model of use does so much."""

    def propose(self, texts: Sequence[Sequence[int]], rows: int, row_price: float, most: int) -> list[list[int]]:
        """See `drafts.Draft`."""
        return [[] for _ in texts]


def three_columns(pair) -> Line:
    """Three answers of 48 tokens against one of Hugging Face `generate`."""
    prompt = _prompts()[0]
    row, safety, draft = torch.tensor([pair.encode(prompt)]), _safety().top(fraction=0.05), _draft(pair)

    with never_ending(pair):
        ours, theirs = side_by_side(
            lambda: generate(pair, [prompt], safety, COLUMN_TOKENS, draft=draft),
            lambda: written_by_generate(pair.m1, row, COLUMN_TOKENS),
        )
    return Line(
        f"three answers of {COLUMN_TOKENS} tokens",
        f"{ours:.2f} s",
        f"{theirs:.2f} s, HF generate, unpatched alone",
        ours / theirs,
        "≤ 1.0 (stretch 0.7)",
        ours / theirs <= 1.0,
    )


def written_by_generate(model, row: torch.Tensor, tokens: int) -> None:
    """An answer of exactly so many tokens to one prompt, int64 [1, tokens], by Hugging Face `generate`."""
    with torch.inference_mode():
        model.generate(
            row,
            attention_mask=torch.ones_like(row),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )


def make_job(pair, threads: int) -> Job:
    """What the peers patch: the shipped adapter, 5 % safety neurons, 1 and 16 prompts."""
    ids = [pair.encode(p) for p in _prompts()]
    return Job(
        str(embedded.ensure()),
        pair.dtype,
        threads,
        torch.stack([factors.float() for factors in pair.scale2]),
        torch.from_numpy(_safety().top(fraction=0.05).mask()),
        {name: [ids[i] for i in which] for name, which in _batches().items()},
        PEER_TOKENS,
    )


def our_answers(pair, batch: str) -> list[list[int]]:
    """The patched answers to one of the job's batches."""
    prompts, safety, draft = _prompts(), _safety().top(fraction=0.05), _draft(pair)
    asked = [prompts[i] for i in _batches()[batch]]
    with never_ending(pair):
        out = sweep(pair, asked, Columns([safety], unpatched=False, aligned=False), Decoding(PEER_TOKENS, draft=draft))
    return [list(a.token_ids) for a in out.patched[0]]


def against_peer(pair, tool: str, ask: Callable[[str], tuple[float, list[list[int]]]]) -> list[Line]:
    """Patched tokens a second: prompts one at a time, and all in one batch five times. Ours and the peer alternate.

    One at a time, how much is guessed right differs from prompt to prompt, so it is the whole time of all prompts that
    is compared; of the five runs of a batch, it is the median.

    Args:
        pair: the models.
        tool: the peer's name and version.
        ask: answers a batch of the job by its name: seconds and tokens.
    """
    lines = []
    alone = [name for name in _batches() if name != "sixteen"]
    for name, goal in GOALS.items():
        turns = alone if name == "one" else ["sixteen"] * REPEATS
        middle = statistics.mean if name == "one" else statistics.median
        mine, theirs, same, written = [], [], [], 0
        our_answers(pair, turns[0])
        for batch in turns:
            ours: list[list[int]] = []
            mine.append(seconds(lambda batch=batch, ours=ours: ours.extend(our_answers(pair, batch))))
            took, tokens = ask(batch)
            theirs.append(took)
            same += [a == b for a, b in zip(ours, tokens, strict=True)]
            written = len(tokens) * PEER_TOKENS
        first, second = written / middle(mine), written / middle(theirs)
        lines.append(
            Line(
                NAMES[name],
                f"{first:.1f} tokens/s",
                f"{second:.1f} tokens/s, {tool} ({np.mean(same):.0%} of answers equal)",
                first / second,
                f"≥ {goal}",
                first / second >= goal,
            )
        )
    return lines


def plain_hooks(pair, threads: int) -> Callable[[str], tuple[float, list[list[int]]]]:
    """The peer that needs nothing but transformers, in this process."""
    from tests.bench.peers.plain_hooks import passes

    job = make_job(pair, threads)
    guide, patched = passes(job)

    def ask(name: str) -> tuple[float, list[list[int]]]:
        tokens: list[list[int]] = []
        took = seconds(lambda: tokens.extend(answer(job.batches[name], job.new, guide, patched)))
        return took, tokens

    return ask


def another_family() -> Line:
    """Patched answers of a pair shaped like Gemma 3 270M, random weights, against transformers hooks, float32."""
    from tests.bench.peers.plain_hooks import passes

    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gemma3_text", **GEMMA_270M)).eval()
    for parameter in model.requires_grad_(False).parameters():  # as a checkpoint in bfloat16 holds them
        parameter.data = parameter.data.bfloat16().float()
    theirs = copy.deepcopy(model)
    shape = (GEMMA_270M["num_hidden_layers"], GEMMA_270M["intermediate_size"])
    factors = 1 + 0.1 * torch.randn(shape)
    spec = ModelSpec("random")
    pair = Pair(tiny.tokenizer(), model, model, None, list(factors), PairSpec("Gemma-3-270M-shaped", spec, spec))
    ns = NeuronSet.random(pair, pair.total_neurons // 20, seed=1)
    prompts = tiny.PROMPTS[:4]  # a letter a token: as long as questions are in the model's own tokens
    ids = [pair.encode(prompt) for prompt in prompts]
    guide, patched = passes(Job("", "float32", 1, factors, torch.from_numpy(ns.mask()), {}, PEER_TOKENS), theirs)
    what, how = Columns([ns], unpatched=False, aligned=False), Decoding(PEER_TOKENS, draft=Undrafted())

    def mine() -> list[list[int]]:
        return [list(sweep(pair, [prompt], what, how).patched[0][0].token_ids) for prompt in prompts]

    def hooks() -> list[list[int]]:
        return [answer([row], PEER_TOKENS, guide, patched)[0] for row in ids]

    with never_ending(pair):
        same = np.mean([a == b for a, b in zip(mine(), hooks(), strict=True)])
        ours, peer = side_by_side(mine, hooks, 3)
    return Line(
        "patched answers of a Gemma-3-270M-shaped pair",
        f"{len(prompts) * PEER_TOKENS / ours:.1f} tokens/s",
        f"{len(prompts) * PEER_TOKENS / peer:.1f} tokens/s, transformers hooks ({same:.0%} of answers equal)",
        peer / ours,
        "≥ 2.5",
        peer / ours >= 2.5,
    )


def fraction_sweep(pair) -> Line:
    """12 fractions × (safety + 3 random) over 16 prompts, in five slices of the prompts.

    One patched generation after another would take many minutes, so in every slice some of them, drawn at random, stand
    for all. The slices, not the whole, are timed: what is read once for a sweep is paid five times here.
    """
    tops = [_safety().top(fraction=f) for f in FRACTIONS]
    sets = [s for top in tops for s in (top, *(NeuronSet.random(pair, len(top), seed=i) for i in range(3)))]
    prompts, rng, draft = _prompts(), random.Random(0), _draft(pair)

    def took(prompts: list[str], sets: list[NeuronSet]) -> float:
        return seconds(
            lambda: sweep(
                pair, prompts, Columns(sets, unpatched=False, aligned=False), Decoding(SWEEP_TOKENS, draft=draft)
            )
        )

    slices = [prompts[i::REPEATS] for i in range(REPEATS)]
    ours, ratios, alone_total = 0.0, [], 0.0
    took(prompts[:1], sets[:2])
    for part in slices:
        together = took(part, sets)
        drawn = [(rng.choice(part), rng.choice(sets)) for _ in range(SAMPLED)]
        alone = statistics.mean(took([prompt], [ns]) for prompt, ns in drawn)
        alone *= len(part) * len(sets)
        ours, alone_total = ours + together, alone_total + alone
        ratios.append(alone / together)
    ratio = statistics.median(ratios)
    return Line(
        f"sweep, {len(sets)} sets × {len(prompts)} prompts, {SWEEP_TOKENS} tokens",
        f"{ours:.0f} s",
        f"{alone_total:.0f} s, one after another (from {SAMPLED * REPEATS} of them)",
        ratio,
        "≥ 10",
        ratio >= 10,
    )


def _prompts() -> list[str]:
    return [p.prompt for p in load_suite("redteam_eval", PROMPTS)]


def _batches() -> dict[str, list[int]]:
    """Which prompts are answered together, by the batch's name."""
    return {**{f"prompt {i}": [i] for i in range(PROMPTS)}, "sixteen": list(range(PROMPTS))}


@cache
def _draft(pair) -> NgramDraft:
    """Of the demo run's answers to all other prompts: what the app would know of a prompt that is new to it."""
    answers = explorer.open_run("cache/demo").table("answers")
    others = answers[~answers["prompt"].isin(_prompts())]["answer"].unique().tolist()
    return NgramDraft.of(pair.tokenizer(others, add_special_tokens=False)["input_ids"])


def _safety():
    return explorer.open_run("cache/demo").change_scores("safety")
