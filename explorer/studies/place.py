"""Sparsity and place: how uneven scores are, and in which layers the top sets lie by rank (two tables).

`sparsity`: the distribution of each ranking's scores. `place`: groups of ranks by layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from explorer.charts.labels import percent, ranking_label
from explorer.neurons.fractions import CURVE
from explorer.neurons.ranking import Ranking, count_of
from explorer.progress import Progress as Tell
from explorer.studies.documented import FRACTION, RANKING, K
from explorer.studies.given import Build
from explorer.studies.planning import Stage
from explorer.studies.study import Column, Needs, Study, Table

GROUPS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Bounds of the groups of ranks, as fractions of the ranked neurons."""


def sparsity_table(rankings: Mapping[str, Ranking], fractions: Sequence[float] = CURVE) -> pd.DataFrame:
    """How uneven the scores of each ranking are.

    Returns:
        Columns ranking, fraction, k, threshold (the lowest score in that top set), energy (its share of the sum of
        squared scores), and for the whole ranking skewness, kurtosis (0 for a normal distribution), gini (0: all
        alike, 1: one neuron has all), largest_to_median.
    """
    from scipy.stats import kurtosis, skew

    rows = []
    for name, changes in rankings.items():
        scores = changes.scores.reshape(-1)[changes.order].astype(np.float64)
        squares = np.cumsum(scores**2)
        ascending = np.sort(np.abs(scores))  # of attributions, which have signs, the sizes
        total = ascending.sum()
        weights = 2 * np.arange(1, len(scores) + 1) - len(scores) - 1
        median = float(np.median(ascending))
        whole = {
            "skewness": float(skew(scores)) if np.ptp(scores) else 0.0,
            "kurtosis": float(kurtosis(scores)) if np.ptp(scores) else 0.0,
            "gini": float((weights * ascending).sum() / (len(scores) * total)) if total else 0.0,
            "largest_to_median": float(ascending[-1] / median) if median else float("inf"),
        }
        for fraction in fractions:
            k = min(max(1, count_of(fraction, changes.total_neurons)), len(scores))
            energy = float(squares[k - 1] / squares[-1]) if squares[-1] else 0.0
            rows.append(
                {"ranking": name, "fraction": fraction, "k": k, "threshold": float(scores[k - 1]), "energy": energy}
                | whole
            )
    return pd.DataFrame(rows)


def place_table(rankings: Mapping[str, Ranking], groups: Sequence[float] = GROUPS) -> pd.DataFrame:
    """Where each group of ranks lies.

    Returns:
        Columns ranking, group (from 1), from_fraction, to_fraction, layer, neurons, share (of the group), even (the
        share each layer would have if all were alike).
    """
    frames = []
    for name, changes in rankings.items():
        ranked = len(changes.order)
        bounds = [round(g * ranked) for g in groups]
        for number, (start, end) in enumerate(pairwise(bounds), start=1):
            layers = changes.order[start:end] // changes.n_neurons
            counts = np.bincount(layers, minlength=changes.n_layers)
            frames.append(
                pd.DataFrame(
                    {
                        "ranking": name,
                        "group": number,
                        "from_fraction": groups[number - 1],
                        "to_fraction": groups[number],
                        "layer": np.arange(changes.n_layers),
                        "neurons": counts,
                        "share": counts / max(1, end - start),
                        "even": 1 / changes.n_layers,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True)
class PlaceSpec:
    """Nothing is asked: every run holds it."""


class Place(Study[PlaceSpec]):
    """How the scores of every ranking are spread, and where its top neurons lie."""

    name, title, settings = "place", "Sparsity and place", PlaceSpec
    listed = False
    tables = (
        Table(
            "sparsity",
            "one size of the top set of one ranking",
            (
                RANKING,
                FRACTION,
                K,
                Column("threshold", "lowest score in the top set, in the ranking's unit"),
                Column("energy", "the top set's share of the sum of squared scores, 0 to 1"),
                Column("skewness", "of all scores, no unit"),
                Column("kurtosis", "of all scores, 0 for a normal distribution"),
                Column("gini", "of the sizes of all scores, 0 (all alike) to 1 (one neuron has all)"),
                Column("largest_to_median", "the largest size of a score over the median one"),
            ),
        ),
        Table(
            "place",
            "one group of ranks in one layer",
            (
                RANKING,
                Column("group", "of ranks, from 1"),
                Column("from_fraction", "where the group begins, as a share of the ranked neurons, 0 to 1"),
                Column("to_fraction", "where it ends"),
                Column("layer", "from 0"),
                Column("neurons", "of the group in this layer"),
                Column("share", "the same as a share of the group, 0 to 1"),
                Column("even", "the share that each layer would have if all were alike, 0 to 1"),
            ),
        ),
    )

    def unasked(self, main: str) -> tuple[PlaceSpec, ...]:
        """See `Study.unasked`."""
        return (PlaceSpec(),)

    def needs(self, asked: PlaceSpec) -> Needs:
        """See `Study.needs`; it reads every ranking that is kept, by no name."""
        return Needs()

    def stages(self, build: Build, asked: Sequence[PlaceSpec]) -> list[Stage]:
        """See `Study.stages`."""
        names = [ranking.name for ranking in build.config.rankings if ranking.keep]

        def run(_tell: Tell) -> None:
            rankings = {name: build.ranking(name) for name in names}
            build.writer.table("sparsity", sparsity_table(rankings))
            build.writer.table("place", place_table(rankings))

        return [Stage(self.name, {name: build.key_of(f"ranking-{name}") for name in names}, run, self.outputs)]

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`: of the ranking that the run names first."""
        table = tables["sparsity"]
        return "" if table.empty else sparsity_sentence(table, str(table["ranking"].iloc[0]), "score")


def sparsity_sentence(frame: pd.DataFrame, ranking: str, measure: str = "change score") -> str:
    """How uneven the scores of a ranking are; `measure` says what they are."""
    rows = frame[frame["ranking"] == ranking]
    five = rows[rows["fraction"] == min(rows["fraction"].unique(), key=lambda f: abs(f - 0.05))].iloc[0]
    return (
        f"The top {percent(five['fraction'])} of **{ranking_label(ranking)}** ({int(five['k']):,} neurons, "
        f"{measure} from {five['threshold']:.3g}) hold **{percent(five['energy'])}** of the sum of squared scores; "
        f"skewness {five['skewness']:.1f}, Gini {five['gini']:.2f}."
    )
