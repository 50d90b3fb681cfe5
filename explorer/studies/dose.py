"""Dose: how strongly a set must be patched, by its size (table `dose`).

Strength s puts a1 + s (a2 − a1) in the place of M1's activations: 1 is M2's own, above 1 overdrives, below 0 reverses.
Refusals and cost say what that restores; degenerate answers and the perplexity of running text what it breaks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import pandas as pd
from annotated_types import Interval

from explorer.digests import digest
from explorer.neurons.patch import STRONGEST, WEAKEST, Patch
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.paths import fill_path
from explorer.progress import Progress as Tell
from explorer.schema import Count, CountOrNone, Distinct, Place, Some
from explorer.studies import benchmarks
from explorer.studies.capability import Scoring, capability_table, score_items
from explorer.studies.compared_sets import RANDOM, SET
from explorer.studies.documented import SUITE, TOKENS, N
from explorer.studies.dose_words import dose_sentence
from explorer.studies.effect import DEGENERATE, values
from explorer.studies.given import Build
from explorer.studies.joining import Part
from explorer.studies.planning import chunks, share
from explorer.studies.statistics import mean, paired_difference
from explorer.studies.study import Column, Needs, Study, Table, inputs

SCORES = ("refusal", "cost", DEGENERATE)

Strength = Annotated[float, Interval(ge=WEAKEST, le=STRONGEST)]


@dataclass(frozen=True)
class DoseSpec:
    """How strongly sets of several sizes are patched.

    Attributes:
        suite: what is answered.
        ranking: whose top neurons are patched.
        beside: other rankings, whose top sets are patched beside them.
        sizes: of the sets, in neurons.
        beside_from: sets of at least this size have others and random ones beside them.
        strengths: of the patches.
        limit: at most so many prompts.
        folder: where wikitext2_test.txt lies.
        windows, window_tokens: stretches of WikiText-2 that are read, and their length; no windows, no perplexity.
    """

    suite: Place = "redteam_eval"
    ranking: Place = "safety"
    beside: Annotated[tuple[Place, ...], Distinct] = ()
    sizes: Annotated[tuple[Count, ...], Some, Distinct] = (1, 10, 100, 1_000)
    beside_from: Count = 100
    strengths: Annotated[tuple[Strength, ...], Some, Distinct] = (-1.0, -0.5, 0.5, 1.0, 1.5, 2.0)
    limit: Count = 100
    folder: Place = "$EXPLORER_DATA/capability"
    windows: CountOrNone = 4
    window_tokens: Annotated[int, Interval(ge=2, le=100_000)] = 256


@dataclass(frozen=True)
class Dosed:
    """One column: a set, its size, and how strongly it is patched."""

    name: str
    k: int
    patch: Patch


class Dose(Study[DoseSpec]):
    """Refusals, cost, degenerate answers and perplexity by strength and size of the set."""

    name, title, settings = "dose", "Dose", DoseSpec
    often, ranked = False, True
    tables = (
        Table(
            "dose",
            "one set patched with one strength, or a model that nothing is patched in",
            (
                SUITE,
                Column("set", f"{SET.about}; m1 and m2 where nothing is patched"),
                Column("k", "neurons patched"),
                Column("strength", "of the patch, −1 to 2; 1 is M2's activations, 0 none"),
                N,
                TOKENS,
                Column("refusal", "share of answers that refuse, 0 to 1", True),
                Column("cost", "their mean cost, log-odds; nan without a cost", True),
                Column("degenerate", "share of degenerate answers, 0 to 1", True),
                Column("change", "of refusals from M1's, over the same prompts", True),
                Column("beyond", "of refusals from those of the same set at strength 1; nan where that is none", True),
                Column("windows", "stretches of WikiText-2"),
                Column("perplexity", "on them; nan where none were read", True),
                Column("perplexity_ratio", "to M1's, over the same stretches", True),
            ),
        ),
        Table(
            "dose_answers",
            "one answer",
            (
                SUITE,
                Column("set", "as in dose"),
                Column("k", "neurons patched"),
                Column("strength", "of the patch"),
                Column("prompt_id", "the prompt's id in its suite"),
                Column("prompt", "its text, or that the run may not hold it"),
                Column("answer", "the answer"),
                Column("refused", "whether it refuses"),
                Column("degenerate", "whether it is repetitive or empty"),
                Column("cost", "log-odds of harm; nan without a cost"),
            ),
        ),
    )

    def needs(self, asked: DoseSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=(asked.ranking, *asked.beside), prompts=(asked.suite,))

    def part(self, build: Build, asked: DoseSpec, number: int) -> Part:
        """See `Study.part`."""
        prompts, tokens = build.prompts(asked.suite, asked.limit), build.config.max_new_tokens
        second = build.config.model_of(asked.ranking)
        folder = fill_path(asked.folder, build.config.source)
        items = benchmarks.wikitext(folder, asked.windows, asked.window_tokens) if asked.windows else []

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            columns = dosed(asked, {name: build.ranking(name) for name in (asked.ranking, *asked.beside)})
            patches = tuple(column.patch for column in columns)
            how = build.patching(sets=patches, second=second)
            frame = build.answer(how, prompts, share(tell, 0, 2))
            # A few patches at a time: of each the logits of a whole stretch are held.
            losses = build.read(score_items, Scoring(patches), chunks(items, 1), share(tell, 1, 2))
            table = dose_table(asked.suite, columns, frame, [row for part in losses for row in part], tokens)
            answers = frame.join(_labels(columns, frame["condition"])).assign(suite=asked.suite)
            return {"dose": table, "dose_answers": answers[[c.name for c in self.tables[1].columns]]}

        columns = len(asked.sizes) + (1 + len(asked.beside)) * sum(k >= asked.beside_from for k in asked.sizes)
        count = columns * len(asked.strengths)
        work = build.estimate(prompts, 2 * (count + 1), tokens) + (count + 2) * asked.windows * asked.window_tokens
        about = inputs(build, asked, self.needs(asked)) | {"items": digest([asdict(item) for item in items])}
        return Part(about, work, run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        return "" if tables["dose"].empty else dose_sentence(tables["dose"])


def dosed(asked: DoseSpec, rankings: Mapping[str, Ranking]) -> list[Dosed]:
    """Every set at every strength, in the order of the table; sizes that a ranking has not got are left out."""
    columns: list[Dosed] = []
    for k in sorted(asked.sizes):
        sets: dict[str, NeuronSet] = {}
        for name, ranking in rankings.items():
            if k <= len(ranking.order) and (name == asked.ranking or k >= asked.beside_from):
                sets[name] = ranking.top(k)
        first = sets.get(asked.ranking)
        # No disjoint random set exists where more than half of a layer is chosen.
        if first is not None and k >= asked.beside_from and first.leaves_half:
            sets[RANDOM] = NeuronSet.random_like(first, seed=0)
        columns += [Dosed(name, k, Patch(ns, s)) for name, ns in sets.items() for s in sorted(asked.strengths)]
    return columns


def _labels(columns: Sequence[Dosed], conditions: pd.Series) -> pd.DataFrame:
    """Set, size and strength of each answer."""
    plain = {-1: ("m1", 0, 0.0), -2: ("m2", 0, 0.0)}
    cells = [plain.get(c) or (columns[c].name, columns[c].k, columns[c].patch.strength) for c in conditions]
    return pd.DataFrame(cells, columns=["set", "k", "strength"], index=conditions.index)


def dose_table(
    suite: str, columns: Sequence[Dosed], answers: pd.DataFrame, losses: Sequence[dict[str, Any]], max_new_tokens: int
) -> pd.DataFrame:
    """The study's table.

    Args:
        suite: that was answered.
        columns: of `dosed`.
        answers: columns condition (−1 for M1, −2 for M2, else a column's number), prompt_id and the scores.
        losses: of `capability.score_items`: M1, then each column, then M2; empty where nothing was read.
        max_new_tokens: length limit of the answers.
    """
    by = {c: part.set_index("prompt_id") for c, part in answers.groupby("condition", sort=False)}
    plain = [("m1", 0, 0.0, -1, 0), ("m2", 0, 0.0, -2, len(columns) + 1)]
    every = [(one.name, one.k, one.patch.strength, i, i + 1) for i, one in enumerate(columns)]
    place = {(name, k, strength): condition for name, k, strength, condition, _ in every}
    read = _perplexities(losses, len(columns) + 2)
    rows = []
    for name, k, strength, condition, number in [plain[0], *every, plain[1]]:
        found = by[condition]
        row = {"suite": suite, "set": name, "k": k, "strength": strength}
        row |= {"n": len(found), "max_new_tokens": max_new_tokens}
        for score in SCORES:
            row |= mean(values(found, score)).columns(score)
        others = {"change": -1, "beyond": place.get((name, k, 1.0))}
        for column, other in others.items():
            if other is not None:
                before = values(by[other].loc[found.index], "refusal")
                row |= paired_difference(before, values(found, "refusal")).columns(column)
        rows.append(row | {"windows": 0} | read.get(number, {}))
    order = [name for column in Dose.tables[0].columns for name in column.names()]
    return pd.DataFrame(rows).reindex(columns=order)


def _perplexities(losses: Sequence[dict[str, Any]], count: int) -> dict[int, dict[str, float]]:
    """Cells of perplexity by the number of a column."""
    if not losses:
        return {}
    table = capability_table(pd.DataFrame(losses), [(str(i), 0.0) for i in range(count)])
    names = {"n": "windows"}
    for end in ("", "_low", "_high"):
        names |= {f"value{end}": f"perplexity{end}", f"change{end}": f"perplexity_ratio{end}"}
    return {int(row["model"]): {new: row[old] for old, new in names.items()} for row in table.to_dict("records")}
