"""The top-ranked neurons one by one: what each does when it alone is patched (table `single_neurons`).

Restoring patches M2's activation of the one neuron into M1, breaking M1's into M2. Few greedy answers change by one
neuron of tens of thousands, so the margin log p(M2's answer) − log p(M1's answer), both read as given, is measured too.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from explorer.neurons.sets import NeuronSet
from explorer.studies.effect import by_prompt
from explorer.studies.statistics import mean, paired_difference

SCORES = ("refusal", "cost")


def single_rows(
    cells: dict[str, object], sets: Sequence[NeuronSet], answers: pd.DataFrame, margins: np.ndarray, max_new_tokens: int
) -> list[dict]:
    """What each neuron does in one direction.

    Args:
        cells: ranking, direction and suite; they lead each row.
        sets: one neuron each, in the order of the ranking.
        answers: columns condition (the set's number, −1 unpatched), prompt_id and the scores.
        margins: float64 [1 + sets, n], in nats: of the unpatched model, then patched with each set.
        max_new_tokens: length limit of the answers.

    Returns:
        Rows of cells, rank, layer, neuron, n, max_new_tokens; for refusal and cost the patched model's mean, …_before
        (the unpatched model's) and …_change over the same prompts; margin, the change of the margin in nats. Means and
        changes have _low and _high.
    """
    before = answers[answers["condition"] == -1]
    rows = []
    for number, ns in enumerate(sets):
        after = answers[answers["condition"] == number]
        place = {"rank": number + 1, "layer": int(ns.layers[0]), "neuron": int(ns.neurons[0])}
        row: dict = {**cells, **place, "n": margins.shape[1], "max_new_tokens": max_new_tokens}
        for score in SCORES:
            first = by_prompt(before, score)
            second = by_prompt(after, score).loc[first.index]
            row |= mean(second.to_numpy()).columns(score)
            row[f"{score}_before"] = float(first.mean())
            row |= paired_difference(first.to_numpy(), second.to_numpy()).columns(f"{score}_change")
        rows.append(row | paired_difference(margins[0], margins[number + 1]).columns("margin"))
    return rows
