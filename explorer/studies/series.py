"""When do safety neurons appear? One ranking for each checkpoint of a training, against the last, and its effect.

A checkpoint is an M2 of its own (`PairSpec.series`). Its neurons are ranked against M1 as ever; the top set is
compared with the last checkpoint's, and patched into M1 to see what it restores at that step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from explorer.neurons.overlap import overlap
from explorer.neurons.ranking import Ranking, count_of
from explorer.neurons.sets import NeuronSet
from explorer.studies.statistics import causal_effect, mean


def step_rows(
    step: int, sets: Mapping[float, NeuronSet], answers: pd.DataFrame, max_new_tokens: int
) -> list[dict[str, Any]]:
    """What patching a checkpoint's own top neurons into M1 restores, a row for each fraction.

    Args:
        step: of the checkpoint.
        sets: its top sets, by the fraction of all neurons.
        answers: rows of `tasks.answer` for these sets, in their order: condition, prompt_id, refused.
        max_new_tokens: length limit of the answers.

    Returns:
        step, fraction, k, n, max_new_tokens, and refusal_m1, refusal_m2, refusal_patched and effect_refusal,
        each with _low and _high; the effect is nan where M2 does not (yet) refuse distinguishably more than M1.
    """
    refused = answers.pivot(index="prompt_id", columns="condition", values="refused").astype(float)
    m1, m2 = refused[-1].to_numpy(), refused[-2].to_numpy()
    rows = []
    for number, (fraction, ns) in enumerate(sets.items()):
        patched = refused[number].to_numpy()
        row = {"step": step, "fraction": fraction, "k": len(ns), "n": len(m1), "max_new_tokens": max_new_tokens}
        for name, values in (("m1", m1), ("m2", m2), ("patched", patched)):
            row |= mean(values).columns(f"refusal_{name}")
        rows.append(row | causal_effect(m1, patched, m2).columns("effect_refusal"))
    return rows


def series_table(rows: Sequence[dict[str, Any]], rankings: dict[int, Ranking]) -> pd.DataFrame:
    """The rows of all steps, with the likeness of each step's top set to the last step's.

    Args:
        rows: of `step_rows`.
        rankings: the change scores of each step.

    Returns:
        The rows with overlap (share of k), chance, spearman (of the shared neurons) and score_mean (mean change
        score of the top set, activation units).
    """
    last = rankings[max(rankings)]
    table = []
    for row in rows:
        changes = rankings[row["step"]]
        k = max(1, count_of(row["fraction"], changes.scores.size))
        found = overlap(changes, last, k)
        strength = float(changes.scores.reshape(-1)[changes.order[:k]].mean())
        likeness = {"overlap": found.overlap, "chance": found.chance, "spearman": found.spearman}
        table.append({**row, **likeness, "score_mean": strength})
    return pd.DataFrame(table).sort_values(["fraction", "step"], ignore_index=True)
