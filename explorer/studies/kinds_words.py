"""What the study of kinds of neurons found, in words computed from its tables."""

from dataclasses import dataclass

import pandas as pd

from explorer.charts.labels import interval, percent, rate, suite_label
from explorer.studies.compared_sets import RANDOM
from explorer.studies.statistics import Estimate
from explorer.studies.words import method_words


@dataclass(frozen=True)
class Structure:
    """How clearly the neurons of a set part.

    Attributes:
        clusters: of the chosen partition.
        silhouette: of it, −1 to 1.
        low, high: the lowest and highest of the random draws' own best.
        draws: of random neurons.
        stability: adjusted Rand index over resamples.
        random_stability: the mean of the random draws'.
    """

    clusters: int
    silhouette: float
    low: float
    high: float
    draws: int
    stability: float
    random_stability: float

    @property
    def more(self) -> bool:
        """Whether it parts more clearly than every random draw."""
        return self.silhouette > self.high


def structure_of(table: pd.DataFrame, name: str) -> Structure:
    """The structure of one set beside the random draws.

    Args:
        table: `kinds_structure`.
        name: of the set.
    """
    chosen = table[table["chosen"]]
    mine, drawn = chosen[chosen["set"] == name].iloc[0], chosen[chosen["set"] == RANDOM]
    best = drawn["silhouette"]
    return Structure(
        int(mine["clusters"]),
        float(mine["silhouette"]),
        float(best.min()),
        float(best.max()),
        len(drawn),
        float(mine["stability"]),
        float(drawn["stability"].mean()),
    )


def kinds_sentence(kinds: pd.DataFrame, structure: pd.DataFrame) -> str:
    """Whether kinds stand out, and which of them carry the effect.

    Args:
        kinds: the run's table `kinds`.
        structure: `kinds_structure`.
    """
    first = kinds.iloc[0]
    found = structure_of(structure, str(first["ranking"]))
    drawn = f"{found.low:.2f} to {found.high:.2f} in {found.draws} draws of random neurons of the same layers"
    stable = f"adjusted Rand index over resamples {found.stability:.2f}, random neurons {found.random_stability:.2f}"
    of = f"the top {percent(first['fraction'])} by {method_words(str(first['ranking']))} ({int(first['k']):,} neurons)"
    if found.more:
        lead = f"{of[0].upper()}{of[1:]} part into **{found.clusters} kinds** more clearly than random neurons do"
    else:
        lead = f"**No kinds stand out** among {of}: they part into {found.clusters} no more clearly than random neurons"
    text = f"{lead} (silhouette {found.silhouette:.2f}; {drawn}; {stable}). "
    parts = [_carried(row) for _, row in kinds.iterrows()]
    return (
        f"{text}The whole set raises refusals from {rate(first['refusal_m1'])} to **{rate(first['refusal_set'])}**; "
        f"{'; '.join(parts)} ({suite_label(first['suite'])}, n = {int(first['n']):,}, answers of up to "
        f"{int(first['max_new_tokens'])} tokens; 95 % intervals)."
    )


def _carried(row: pd.Series) -> str:
    """What one kind does alone and what is left without it, against as many neurons of the set at random."""
    alone = f"{rate(row['refusal_alone'])} ({interval(row['refusal_alone_low'], row['refusal_alone_high'])})"
    without = f"{rate(row['refusal_without'])} ({interval(row['refusal_without_low'], row['refusal_without_high'])})"
    return (
        f"kind {int(row['kind'])} ({int(row['neurons']):,} neurons) alone to {alone}, {_against(row, 'alone')} with as "
        f"many of the set at random ({rate(row['refusal_part'])}), and the set without it to {without}, "
        f"{_against(row, 'without')} without as many at random ({rate(row['refusal_without_part'])})"
    )


def _against(row: pd.Series, what: str) -> str:
    found = Estimate.of(row, f"refusal_{what}_above")
    return {1: "more than", -1: "less than", 0: "not distinguishable from that"}[found.sign]
