"""Transfer between harm categories: neurons found on one, patched while others are answered (table `categories`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import pandas as pd

from explorer.progress import Progress as Tell
from explorer.schema import Count, Distinct, Fraction, Place, Some, Text, Tokens
from explorer.studies.basis import OwnMethod, RankingSpec, Steps
from explorer.studies.documented import ANSWERS, METHOD
from explorer.studies.effect import SCORES as JUDGED
from explorer.studies.given import Build
from explorer.studies.joining import Part, answering_inputs
from explorer.studies.planning import LATER, Stage, share
from explorer.studies.study import Needs, Study, Table
from explorer.studies.transfer import COLUMNS, TransferMatrix, transfer_sentence
from explorer.studies.words import by_method, first_rows


@dataclass(frozen=True)
class CategoriesSpec:
    """The same between harm categories: neurons found on each category's prompts of one suite, patched on another's.

    Attributes:
        found_on: suite with categories that the rankings are computed on.
        tested_on: suite with the same categories, under [[answers]] or not.
        categories: which ones.
        fraction: the size of the sets.
        ranking_limit, limit: prompts of a category to rank on, and to test on.
        max_new_tokens: length limit of the answers that the rankings read.
        method: of the rankings.
        steps: of method "attribution".
    """

    found_on: Place
    tested_on: Place
    categories: Annotated[tuple[Text, ...], Some, Distinct]
    fraction: Fraction = 0.05
    ranking_limit: Count = 30
    limit: Count = 25
    max_new_tokens: Tokens = 24
    method: OwnMethod = field(default="contrast", metadata=LATER)
    steps: Steps = field(default=5, metadata=LATER)


class Categories(Study[CategoriesSpec]):
    """Category × category: neurons found on one kind of harm, patched on another."""

    name, title, settings = "categories", "Transfer between categories of harm", CategoriesSpec
    tables = (
        Table("categories", "the neurons of one category patched on prompts of another", COLUMNS),
        Table("categories_answers", "one patched answer behind a cell of categories", (METHOD, *ANSWERS)),
    )

    def needs(self, asked: CategoriesSpec) -> Needs:
        """See `Study.needs`; it computes the rankings of the categories itself."""
        return Needs(prompts=(asked.found_on, asked.tested_on))

    def stages(self, build: Build, asked: Sequence[CategoriesSpec]) -> list[Stage]:
        """The rankings of all categories, then one stage of all matrices."""
        found = [_rankings(one, number) for number, one in enumerate(asked)]
        return [*(build.rank(spec) for specs in found for spec in specs.values()), *super().stages(build, asked)]

    def part(self, build: Build, asked: CategoriesSpec, number: int) -> Part:
        """See `Study.part`."""
        specs = _rankings(asked, number)
        prompts = {c: build.prompts(asked.tested_on, asked.limit, c) for c in asked.categories}
        inputs = answering_inputs(build, asked, [spec.name for spec in specs.values()], prompts)

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            rankings = {c: build.ranking(spec.name) for c, spec in specs.items()}
            sets = {c: ranking.top(fraction=asked.fraction) for c, ranking in rankings.items()}
            how = build.patching(sets=tuple(sets.values()))
            matrix = TransferMatrix(build, "category", sets, rankings)
            for i, (category, ps) in enumerate(prompts.items()):
                frame = build.answer(how, ps, share(tell, i, len(prompts)))
                plain = {"unpatched": -1, "aligned": -2}
                base = {c: frame[frame["condition"] == n].set_index("prompt_id") for c, n in plain.items()}
                frame = frame[frame["condition"] >= 0]
                frame = frame.assign(source=[asked.categories[c] for c in frame["condition"]])
                matrix.add(category, category, frame, base)
            return matrix.tables("categories", asked.method)

        rows, tokens = 2 + 2 * len(asked.categories), build.config.max_new_tokens
        return Part(inputs, sum(build.estimate(ps, rows, tokens) for ps in prompts.values()), run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        return by_method(tables["categories"], lambda rows: transfer_sentence(first_rows(rows, "fraction"), JUDGED[0]))


def _rankings(asked: CategoriesSpec, number: int) -> dict[str, RankingSpec]:
    """The ranking of each category of the table of this number, from 0."""
    lead = "of-" if number == 0 else f"of{number + 1}-"
    return {
        category: RankingSpec(
            lead + "".join(c if c.isalnum() else "_" for c in category)[:48],
            asked.found_on,
            asked.ranking_limit,
            max_new_tokens=asked.max_new_tokens,
            category=category,
            method=asked.method,
            steps=asked.steps,
            keep=False,
        )
        for category in asked.categories
    }
