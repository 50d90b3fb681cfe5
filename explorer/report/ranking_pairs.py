"""How alike all rankings of a run are, two by two."""

from collections.abc import Mapping

import pandas as pd

from explorer.charts.labels import ranking_label
from explorer.neurons.fractions import OVERLAPS
from explorer.neurons.overlap import overlap
from explorer.neurons.ranking import Ranking, count_of
from explorer.runs.reader import Run

FRACTIONS = OVERLAPS
"""Sizes of top sets that are compared, as shares of all neurons."""


def sizes(run: Run) -> tuple[float, ...]:
    """Of `FRACTIONS`, those that are at least 3 neurons of the run's model, else the largest one."""
    total = run.n_layers * run.n_neurons
    return tuple(f for f in FRACTIONS if f * total >= 3) or FRACTIONS[-1:]


def pairs_of(rankings: Mapping[str, Ranking], fraction: float) -> pd.DataFrame:
    """All rankings against all, of one model.

    Args:
        rankings: by name.
        fraction: size of the top sets, as a share of all neurons.

    Returns:
        Columns a, b (names), a_label, b_label, k, shared, overlap, chance, ratio (overlap / chance), spearman; a row
        for either order of two rankings, in the order of `rankings`.
    """
    rows = []
    for i, (a, first) in enumerate(rankings.items()):
        k = max(1, count_of(fraction, first.total_neurons))
        for b, second in list(rankings.items())[i:]:
            found = vars(overlap(first, second, min(k, len(first.order), len(second.order))))
            found["ratio"] = found["overlap"] / found["chance"] if found["chance"] else float("nan")
            rows += [{"a": x, "b": y, **found} for x, y in dict.fromkeys([(a, b), (b, a)])]
    place = {name: i for i, name in enumerate(rankings)}
    rows.sort(key=lambda row: (place[row["a"]], place[row["b"]]))
    frame = pd.DataFrame(rows)
    return frame.assign(a_label=frame["a"].map(ranking_label), b_label=frame["b"].map(ranking_label))
