"""How often each model of a pair refuses, in greedy answers: the first thing to know of an adapter."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.models.pair import Pair
from explorer.scoring.refusal import RefusalScorer
from explorer.studies.statistics import mean


def refusal_rates(
    pair: Pair,
    suites: Mapping[str, Sequence[str]],
    max_new_tokens: int = 48,
    progress: Callable[[str, float], None] | None = None,
) -> pd.DataFrame:
    """Refusal rate of M1 and M2 on each suite.

    Args:
        pair: the models.
        suites: prompts by suite name.
        max_new_tokens: length limit of the answers.
        progress: told the suite and the share of it that is done.

    Returns:
        Columns suite, model ("M1", "M2"), n, max_new_tokens, refusal, refusal_low, refusal_high
        (shares from 0 to 1, 95 % Wilson interval).
    """
    scorer = RefusalScorer()
    rows = []
    for name, prompts in suites.items():
        tell = None if progress is None else (lambda share, n=name: progress(n, share))
        out = sweep(pair, list(prompts), Columns(), Decoding(max_new_tokens), progress=tell)
        for model, answers in (("M1", out.unpatched), ("M2", out.aligned)):
            refused = scorer.score(list(prompts), [a.text for a in answers])
            row = {"suite": name, "model": model, "n": len(answers), "max_new_tokens": max_new_tokens}
            rows.append(row | mean(refused).columns("refusal"))
    return pd.DataFrame(rows)
