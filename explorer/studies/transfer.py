"""Transfer: neurons found on one suite or harm category, patched while others are answered (table `transfer`)."""

from collections.abc import Mapping, Sequence

import pandas as pd

from explorer.neurons.overlap import chance
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.studies.effect import compare


def transfer_rows(
    kind: str,
    target: str,
    own: str,
    answers: pd.DataFrame,
    base: Mapping[str, pd.DataFrame],
    sets: Mapping[str, NeuronSet],
    rankings: Mapping[str, Ranking],
    scores: Sequence[str],
    max_new_tokens: int,
) -> list[dict]:
    """One column of the matrix: every source's neurons on one target.

    Args:
        kind: "suite" or "category".
        target: name of the prompts.
        own: the source that was found on prompts of the same kind; "" for none.
        answers: columns source, prompt_id and the scores: the target's prompts, patched with each source's set.
        base: "unpatched" and "aligned" answers to the target's prompts, by prompt_id.
        sets, rankings: the set of every source, and the ranking that it is of.
        scores: which scores.
        max_new_tokens: length limit of the answers.

    Returns:
        Rows of kind, source, target, own, k, fraction, n, max_new_tokens, shared (neurons that are in the own source's
        set as well, as a share; nan where there is none), chance (what random sets of the layers that take part
        would share; nan where there is no own source), and for each score its mean and effect with intervals.
    """
    same = sets.get(own)
    rows = []
    for source, part in answers.groupby("source", sort=False):
        ns = sets[str(source)]
        row = {
            "kind": kind,
            "source": source,
            "target": target,
            "own": own,
            "k": len(ns),
            "fraction": ns.fraction,
            "n": part["prompt_id"].nunique(),
            "max_new_tokens": max_new_tokens,
            "shared": float("nan") if same is None else len(ns & same) / max(1, len(ns)),
            "chance": float("nan") if same is None else chance(rankings[str(source)], rankings[own], len(same)),
        }
        for score in scores:
            row |= compare(part, dict(base), score)
        rows.append(row)
    return rows
