"""Do another seed's neurons agree? Rankings of one recipe's seeds against the size of the top set (table `seeds`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
from annotated_types import Len

from explorer.charts.labels import percent
from explorer.progress import Progress as Tell
from explorer.schema import Distinct, Place
from explorer.studies.documented import METHOD
from explorer.studies.given import Build
from explorer.studies.joining import Part
from explorer.studies.likeness import COLUMNS, likeness_table
from explorer.studies.planning import with_method
from explorer.studies.study import Needs, Study, Table
from explorer.studies.words import by_method, usual_rows


@dataclass(frozen=True)
class SeedsSpec:
    """Rankings of one recipe's seeds, compared.

    Attributes:
        rankings: at least two.
    """

    rankings: Annotated[tuple[Place, ...], Len(2), Distinct]


class Seeds(Study[SeedsSpec]):
    """Likeness of the rankings of one recipe's seeds."""

    name, title, settings = "seeds", "Seeds of one recipe", SeedsSpec
    tables = (Table("seeds", "the top sets of two seeds' rankings, of one size", (METHOD, *COLUMNS)),)

    def needs(self, asked: SeedsSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=asked.rankings)

    def part(self, build: Build, asked: SeedsSpec, number: int) -> Part:
        """See `Study.part`."""

        def run(_tell: Tell) -> dict[str, pd.DataFrame]:
            found = likeness_table({name: build.ranking(name) for name in asked.rankings})
            return {"seeds": with_method(found, build.config.method_of(*asked.rankings))}

        return Part({name: build.key_of(f"ranking-{name}") for name in asked.rankings}, 0.0, run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        return by_method(
            tables["seeds"], lambda rows: seeds_sentence(rows, float(usual_rows(rows)["fraction"].iloc[0]))
        )


def seeds_sentence(frame: pd.DataFrame, fraction: float) -> str:
    """How alike the rankings of a recipe's seeds are."""
    rows = frame[(frame["fraction"] - fraction).abs() < 1e-9]
    if rows.empty:
        return ""
    low, high = rows["overlap"].min(), rows["overlap"].max()
    shared = percent(low) if low == high else f"{percent(low)} to {percent(high)}"
    text = (
        f"The top {percent(fraction)} ({int(rows['k'].iloc[0]):,} neurons) of "
        f"{len(set(rows['a']) | set(rows['b']))} rankings of one recipe share **{shared}** of their neurons (chance "
        f"{percent(rows['chance'].iloc[0])})"
    )
    least, most = rows["spearman"].min(), rows["spearman"].max()
    if pd.isna(least):
        return f"{text}; the shared ones are too few to correlate."
    rho = f"{least:.2f}" if least == most else f"{least:.2f} to {most:.2f}"
    return f"{text}, with a Spearman ρ of **{rho}** over the shared ones."
