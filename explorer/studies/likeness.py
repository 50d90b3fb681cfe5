"""Likeness of rankings against the size of the top set (table `overlap`): every pair that the run holds.

The rankings of one recipe's seeds have a table of their own, see `seeds`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from explorer.charts.labels import percent, ranking_label
from explorer.neurons.fractions import CURVE
from explorer.neurons.overlap import overlap_by_k
from explorer.neurons.ranking import Ranking
from explorer.progress import Progress as Tell
from explorer.studies.documented import FRACTION, LIKENESS, K
from explorer.studies.given import Build
from explorer.studies.joining import Part
from explorer.studies.planning import Stage
from explorer.studies.study import Column, Needs, Study, Table
from explorer.studies.words import usual_rows

COLUMNS = (
    Column("a", "the one ranking"),
    Column("b", "the other"),
    FRACTION,
    K,
    *LIKENESS,
)


def likeness_table(rankings: Mapping[str, Ranking], fractions: Sequence[float] = CURVE) -> pd.DataFrame:
    """Every pair of rankings: columns a, b, fraction, k, shared, overlap, chance, spearman."""
    frames = []
    for a, b in combinations(rankings, 2):
        found = overlap_by_k(rankings[a], rankings[b], fractions)
        found.insert(0, "b", b)
        found.insert(0, "a", a)
        frames.append(found)
    empty = pd.DataFrame(columns=["a", "b", "fraction", "k", "shared", "overlap", "chance", "spearman"])
    return pd.concat(frames, ignore_index=True) if frames else empty


@dataclass(frozen=True)
class OverlapSpec:
    """Nothing is asked: every run with two rankings or more holds it."""


class Overlap(Study[OverlapSpec]):
    """Overlap between all rankings that the run keeps."""

    name, title, settings = "overlap", "Overlap of all rankings", OverlapSpec
    listed = False
    tables = (Table("overlap", "two rankings' top sets of one size", COLUMNS),)

    def unasked(self, main: str) -> tuple[OverlapSpec, ...]:
        """See `Study.unasked`."""
        return (OverlapSpec(),)

    def needs(self, asked: OverlapSpec) -> Needs:
        """See `Study.needs`; it reads every ranking that is kept, by no name."""
        return Needs()

    def stages(self, build: Build, asked: Sequence[OverlapSpec]) -> list[Stage]:
        """See `Study.stages`; none where there is nothing to compare."""
        return super().stages(build, asked) if len(_kept(build)) > 1 else []

    def part(self, build: Build, asked: OverlapSpec, number: int) -> Part:
        """See `Study.part`."""
        names = _kept(build)

        def run(_tell: Tell) -> dict[str, pd.DataFrame]:
            return {"overlap": likeness_table({name: build.ranking(name) for name in names})}

        return Part({name: build.key_of(f"ranking-{name}") for name in names}, 0.0, run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`: the most alike of the pairs of two rankings."""
        table = tables["overlap"]
        if table.empty:
            return ""
        rows = usual_rows(table).sort_values("overlap", ascending=False, kind="stable")
        best = rows.iloc[0]
        return (
            f"Of the top {percent(best['fraction'])} ({int(best['k']):,} neurons) {ranking_label(str(best['a']))} and "
            f"{ranking_label(str(best['b']))} share most, **{percent(best['overlap'])}** (chance "
            f"{percent(best['chance'])}); {len(rows)} pairs of rankings were compared."
        )


def _kept(build: Build) -> list[str]:
    return [ranking.name for ranking in build.config.rankings if ranking.keep]
