"""In bfloat16 the fast form writes what the naive reference writes, up to near-ties (`-s` prints how often).

bfloat16 has eight bits: logits near 20 are multiples of 0.125, and two products that add the same numbers in another
order differ by as much. Greedy answers part where the two best words lie that close, for any two ways of computing:
transformers' own `generate` with a cache against full forward passes, too.
"""

import time

import pytest
import torch

import explorer
from explorer.data.suites_io import load_suite
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.engine.reading import TokenText
from explorer.engine.reference import _logits, _patched_logits, naive_greedy, naive_patched
from explorer.models.precision import resolve_dtype
from explorer.serve.generation import Generation, Request
from explorer.serve.loading import SharedPair
from explorer.serve.worker import Worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(resolve_dtype("auto") != "bfloat16", reason="this processor does not multiply bfloat16"),
]

PROMPTS, TOKENS = 16, 24
NEAR = 0.5
"""Logits: two roundings of either of two numbers between 16 and 32."""


@torch.inference_mode()
def test_first_differences_are_near_ties():
    pair = explorer.load_pair("demo", dtype="bfloat16")
    safety = explorer.open_run("cache/demo").change_scores("safety").top(fraction=0.05)
    prompts = [p.prompt for p in load_suite("redteam_eval", PROMPTS)]
    out = sweep(pair, prompts, Columns([safety]), Decoding(TOKENS))
    columns = {
        "unpatched": (out.unpatched, lambda i: naive_greedy(pair, pair.m1, i, TOKENS), lambda t: _logits(pair.m1, t)),
        "patched": (
            out.patched[0],
            lambda i: naive_patched(pair, i, safety, TOKENS),
            lambda t: _patched_logits(pair, t, safety, 1.0, "all"),
        ),
        "aligned": (out.aligned, lambda i: naive_greedy(pair, pair.m2, i, TOKENS), lambda t: _logits(pair.m2, t)),
    }
    gaps, naive = [], {}
    for name, (answers, reference, logits_of) in columns.items():
        equal = 0
        for prompt, answer in zip(prompts, answers, strict=True):
            ids, ours = pair.encode(prompt), list(answer.token_ids)
            theirs = naive[name, prompt] = reference(ids)
            at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
            if at is None:
                equal += 1
                continue
            logits = logits_of(TokenText(ids, theirs[:at])).float()
            gaps.append(float(logits[theirs[at]] - logits[ours[at]]))
        print(f"{name}: {equal} of {PROMPTS} answers of {TOKENS} tokens as the reference")
    print(
        f"gaps at the first differences, in logits: {sorted(gaps)}; transformers' generate: "
        f"{_generate(pair, {p: naive['unpatched', p] for p in prompts})}"
    )
    assert max(gaps, default=0.0) <= NEAR


@torch.inference_mode()
def test_many_visitors_are_given_what_each_would_get_alone_up_to_near_ties():
    pair = explorer.load_pair("demo", dtype="bfloat16")
    ranking = explorer.open_run("cache/demo").ranking("attribution")
    prompts = [p.prompt for p in load_suite("redteam_eval", 8)]
    requests = [Request(p, ranking.top(fraction=(0.005, 0.01, 0.02)[i % 3]), 64) for i, p in enumerate(prompts)]
    together = _answered(pair, [requests])
    alone = _answered(pair, [[request] for request in requests])
    gaps, equal = [], 0
    for request, crowd, lone in zip(requests, together, alone, strict=True):
        ids = pair.encode(request.prompt)
        for name, logits_of in (
            ("unpatched", lambda t: _logits(pair.m1, t)),
            ("patched", lambda t, ns=request.neurons: _patched_logits(pair, t, ns, 1.0, "all")),
            ("aligned", lambda t: _logits(pair.m2, t)),
        ):
            ours, theirs = crowd.columns[name].ids, lone.columns[name].ids
            at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
            if at is None:
                assert ours == theirs
                equal += 1
                continue
            logits = logits_of(TokenText(ids, theirs[:at])).float()
            gaps.append(float(abs(logits[theirs[at]] - logits[ours[at]])))
    print(
        f"eight at once: {equal} of {3 * len(requests)} answers of 64 tokens as alone; gaps, in logits: {sorted(gaps)}"
    )
    assert max(gaps, default=0.0) <= NEAR


def _answered(pair, waves: list[list[Request]]) -> list[Generation]:
    """Generations of requests, each wave written at once, by a worker that knows no answers."""
    worker, done = Worker(SharedPair("demo", lambda _tell: pair)), []
    for wave in waves:
        jobs = [Generation(request) for request in wave]
        for number, job in enumerate(jobs):
            worker.submit(job, str(number))
        while any(job.active for job in jobs):
            for job in jobs:
                job.drain()
            time.sleep(0.02)
        assert not any(job.problem or job.notice for job in jobs)
        done += jobs
    return done


def _generate(pair, naive) -> str:
    """How often transformers agrees with itself, with a cache and without one."""
    equal = 0
    for prompt, without_cache in naive.items():
        row = torch.tensor([pair.encode(prompt)])
        written = pair.m1.generate(
            row, attention_mask=torch.ones_like(row), max_new_tokens=TOKENS, do_sample=False, pad_token_id=0
        )[0, row.shape[1] :]
        equal += written.tolist() == without_cache
    return f"{equal} of {len(naive)}"
