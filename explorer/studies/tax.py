"""The alignment tax: one aligned model's activations at the shared neurons, put into another (table `tax`).

Paper section 5: helpful activations in the safe model make it more helpful and less safe, and the other way round.
`shared_neurons` holds whether the same neurons carry different activations.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.studies.effect import by_prompt
from explorer.studies.statistics import mean, paired_difference, paired_p


def tax_rows(
    cells: dict[str, object], before: pd.DataFrame, after: pd.DataFrame, scores: Sequence[str], max_new_tokens: int
) -> list[dict]:
    """What a patch changes in each score.

    Args:
        cells: what was patched: their columns lead each row.
        before, after: answers to the same prompts, columns prompt_id and the scores.
        scores: which scores.
        max_new_tokens: length limit of the answers.

    Returns:
        Rows of cells, score, n, max_new_tokens, before, after, delta (after − before over the same prompts), each with
        _low and _high, and p of a paired test (corrected for the number of tests in the table of all, as p_holm).
    """
    rows = []
    for score in scores:
        first = by_prompt(before, score)
        second = by_prompt(after, score).loc[first.index]
        a, b = first.to_numpy(), second.to_numpy()
        rows.append(
            {**cells, "score": score, "n": len(a), "max_new_tokens": max_new_tokens}
            | mean(a).columns("before")
            | mean(b).columns("after")
            | paired_difference(a, b).columns("delta")
            | {"p": paired_p(b, a)}
        )
    return rows


def shared_set(a: Ranking, b: Ranking, fraction: float) -> NeuronSet:
    """The neurons in the top sets of both rankings, in the order of the first."""
    return (a.top(fraction=fraction) & b.top(fraction=fraction)).relabel("shared")


def shared_table(names: tuple[str, str], a: Ranking, b: Ranking, fraction: float) -> pd.DataFrame:
    """What the two aligned models do at the neurons they share.

    Returns:
        Columns a, b, fraction, layer, neuron, rank_a, rank_b, delta_a (mean in A − mean in M1), delta_b, same_sign.
    """
    ns = shared_set(a, b, fraction)
    at = (ns.layers, ns.neurons)
    first, second = (changes.mean2[at] - changes.mean1[at] for changes in (a, b))
    return pd.DataFrame(
        {
            "a": names[0],
            "b": names[1],
            "fraction": fraction,
            "layer": ns.layers,
            "neuron": ns.neurons,
            "rank_a": a.ranks[at],
            "rank_b": b.ranks[at],
            "delta_a": first,
            "delta_b": second,
            "same_sign": np.sign(first) == np.sign(second),
        }
    )
