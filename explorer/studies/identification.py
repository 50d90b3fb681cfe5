"""Rankings without an aligned model, beside one that has one (table `identification`; paper, appendix).

How like the reference they are (`training_free` computes them), and what patching their top neurons does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pandas as pd

from explorer.charts.labels import interval, percent, ranking_label, rate, suite_label
from explorer.data.suites_io import Prompt
from explorer.neurons.overlap import overlap
from explorer.neurons.ranking import Ranking, count_of
from explorer.progress import Progress as Tell
from explorer.schema import Count, Fractions, Place, Places, Some
from explorer.studies.documented import FRACTION, LIKENESS, METHOD, RANKING, SCORES, SUITE, TOKENS, K, N
from explorer.studies.effect import compare, plain_answers
from explorer.studies.given import Build
from explorer.studies.joining import Part, answering_inputs
from explorer.studies.planning import with_method
from explorer.studies.study import Column, Needs, Study, Table
from explorer.studies.words import by_method, first_rows


@dataclass(frozen=True)
class IdentificationSpec:
    """Rankings that need no aligned model, against one that does.

    Attributes:
        reference: the ranking they are compared with.
        rankings: the others.
        suite: a suite under [[answers]] to patch on.
        fractions: the sizes that are patched.
        limit: at most so many prompts.
    """

    rankings: Places
    suite: Place
    reference: Place = "safety"
    fractions: Annotated[Fractions, Some] = (0.05,)
    limit: Count = 100


class Identification(Study[IdentificationSpec]):
    """Rankings without an aligned model: likeness, and what patching their neurons does."""

    name, title, settings = "identification", "Without an aligned model", IdentificationSpec
    tables = (
        Table(
            "identification",
            "one size of the top set of one ranking beside the reference's",
            (
                METHOD,
                Column("reference", "the ranking that the others are compared with"),
                RANKING,
                FRACTION,
                K,
                *LIKENESS,
                SUITE,
                N,
                TOKENS,
                *SCORES,
            ),
        ),
    )

    def needs(self, asked: IdentificationSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.reference, *asked.rankings), answers=(asked.suite,))

    def part(self, build: Build, asked: IdentificationSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts = build.prompts(asked.suite, min(asked.limit, build.plain_spec(asked.suite).limit))
        names = self.needs(asked).rankings
        inputs = answering_inputs(build, asked, names, {asked.suite: prompts})
        inputs["answers"] = build.plain_keys([asked.suite])[0]

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            found = _identify(build, asked, prompts, tell)
            found.insert(0, "reference", asked.reference)
            return {"identification": with_method(found, build.config.method_of(asked.reference))}

        rows = 2 * len(names) * len(asked.fractions)
        return Part(inputs, build.estimate(prompts, rows, build.config.max_new_tokens), run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        return by_method(tables["identification"], lambda rows: identification_sentence(first_rows(rows, "reference")))


def _identify(build: Build, asked: IdentificationSpec, prompts: list[Prompt], tell: Tell) -> pd.DataFrame:
    """The rows of one reference."""
    names = [asked.reference, *asked.rankings]
    rankings = {name: build.ranking(name) for name in names}
    wanted = [(name, fraction) for name in names for fraction in asked.fractions]
    how = build.patching(
        sets=tuple(rankings[name].top(fraction=fraction) for name, fraction in wanted), unpatched=False, aligned=False
    )
    frame = build.answer(how, prompts, tell)
    base = plain_answers(build.plain_answers(asked.suite))
    effects = []
    for condition, (name, fraction) in enumerate(wanted):
        part = frame[frame["condition"] == condition]
        cells: dict[str, Any] = {"ranking": name, "fraction": fraction, "suite": asked.suite, "n": len(part)}
        cells["max_new_tokens"] = build.config.max_new_tokens
        for score in build.score_columns:
            cells |= compare(part, base, score)
        effects.append(cells)
    return identification_table(rankings[asked.reference], rankings, asked.fractions, pd.DataFrame(effects))


def identification_table(
    reference: Ranking, others: dict[str, Ranking], fractions: tuple[float, ...], effects: pd.DataFrame
) -> pd.DataFrame:
    """Each ranking beside the reference.

    Args:
        reference: the ranking that they are compared with.
        others: the rankings that are compared, by name.
        fractions: sizes of the top sets.
        effects: columns ranking, fraction, and what `patched_scores` gives.

    Returns:
        Columns ranking, fraction, k, shared, overlap, chance, spearman, and those of `effects`.
    """
    rows = []
    for name, scores in others.items():
        for fraction in fractions:
            k = max(1, count_of(fraction, reference.total_neurons))
            rows.append({"ranking": name, "fraction": fraction, **vars(overlap(reference, scores, k))})
    return pd.DataFrame(rows).merge(effects.drop(columns="k", errors="ignore"), on=["ranking", "fraction"], how="left")


def identification_sentence(frame: pd.DataFrame) -> str:
    """How each method does beside the reference, which stands first."""
    own, others = frame.iloc[0], frame[frame["ranking"] != frame.iloc[0]["ranking"]]
    others = others[others["fraction"] == own["fraction"]]
    parts = [
        f"**{ranking_label(str(row['ranking']))}** shares {percent(row['overlap'])} (chance {percent(row['chance'])})"
        + ("" if pd.isna(row["effect_refusal"]) else f" and restores {rate(row['effect_refusal'])}, {_bounds(row)}")
        for row in others.to_dict("records")
    ]
    restored = ""
    if not pd.isna(own["effect_refusal"]):
        restored = f", which restore {rate(own['effect_refusal'])} of the gap in refusals ({_bounds(own.to_dict())})"
    return (
        f"Of the top {percent(own['fraction'])} of {ranking_label(str(own['ranking']))}{restored} on "
        f"{suite_label(str(own['suite']))}: {'; '.join(parts)}."
    )


def _bounds(row: Mapping[Any, Any]) -> str:
    return f"95 % interval {interval(row['effect_refusal_low'], row['effect_refusal_high'])}, n = {int(row['n'])}"
