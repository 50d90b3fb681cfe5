"""The alignment tax: one aligned model's activations at the shared neurons, put into another (table `tax`).

Paper section 5: helpful activations in the safe model make it more helpful and less safe, and the other way round.
`shared_neurons` holds whether the same neurons carry different activations.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Interval

from explorer.charts.labels import ranking_label, signed, suite_label
from explorer.files import read_json, write_json
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress as Tell
from explorer.schema import Count, Distinct, Fraction, Kind, Place, Places, Some
from explorer.studies.documented import CHANGE, FRACTION, METHOD, NEURON, SUITE, K
from explorer.studies.effect import by_prompt, with_holm
from explorer.studies.given import Build, BuildFile
from explorer.studies.joining import answering_inputs
from explorer.studies.planning import Stage, share, with_method
from explorer.studies.statistics import mean, paired_difference, paired_p
from explorer.studies.study import Column, Needs, Study, Table, differ
from explorer.studies.words import by_method, first_rows, known_scores, score_words

RankingPair = Annotated[tuple[Place, Place], Kind("a pair of two rankings")]


@dataclass(frozen=True)
class TaxSpec:
    """The activation swap between aligned models.

    Attributes:
        pairs: pairs of rankings with adapters ("safety", "helpful").
        suites: what both models answer.
        fraction: the size of the top sets whose shared neurons are swapped.
        random_seed: of the control, as many neurons per layer outside of the shared ones; none where negative.
        limit: at most so many prompts of each suite.
    """

    pairs: Annotated[tuple[RankingPair, ...], Some, Distinct]
    suites: Places
    fraction: Fraction = 0.05
    random_seed: Annotated[int, Interval(ge=-1, le=2**32 - 1)] = 0
    limit: Count = 100


class Tax(Study[TaxSpec]):
    """One stage for each pair of aligned models, and one that puts their rows together."""

    name, title, settings = "tax", "Alignment tax", TaxSpec
    tables = (
        Table(
            "tax",
            "the change of one score on one suite by one swap",
            (
                METHOD,
                Column("a", "the one ranking of the pair"),
                Column("b", "the other"),
                Column("into", "the ranking whose aligned model is patched"),
                Column("activations_of", "the ranking whose aligned model gives its activations"),
                Column("set", "shared (in both top sets) or random (as many per layer outside of them)"),
                SUITE,
                FRACTION,
                K,
                *CHANGE,
            ),
        ),
        Table(
            "shared_neurons",
            "one neuron that is in both top sets",
            (
                METHOD,
                Column("a", "the one ranking of the pair"),
                Column("b", "the other"),
                FRACTION,
                *NEURON,
                Column("rank_a", "its rank in a, from 1"),
                Column("rank_b", "its rank in b, from 1"),
                Column("delta_a", "mean activation in a's aligned model less that in M1, activation units"),
                Column("delta_b", "the same of b"),
                Column("same_sign", "whether both change it the same way"),
            ),
        ),
    )

    def needs(self, asked: TaxSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=tuple(name for pair in asked.pairs for name in pair), prompts=asked.suites)

    def check(self, file: BuildFile, asked: Sequence[TaxSpec]) -> None:
        """See `Study.check`."""
        for a, b in (pair for one in asked for pair in one.pairs):
            differ(file.source, self.name, "pairs", a, b)

    def stages(self, build: Build, asked: Sequence[TaxSpec]) -> list[Stage]:
        """See `Study.stages`."""
        pairs = [(one, a, b) for one in asked for a, b in one.pairs]
        names: list[str] = []
        for _, a, b in pairs:  # a pair may stand in two tables, with sets of another size
            known = sum(name.split(" ")[0] == f"tax-{a}-{b}" for name in names)
            names.append(f"tax-{a}-{b}" + (f" {known + 1}" if known else ""))
        stages = [_swap(build, name, *pair) for name, pair in zip(names, pairs, strict=True)]

        def run(_tell: Tell) -> None:
            rows, shared = [], []
            for stage, (one, a, b) in zip(stages, pairs, strict=True):
                method = build.config.method_of(a, b)
                rows.append(with_method(pd.DataFrame(read_json(build.work / stage.outputs[0])), method))
                found = shared_table((a, b), build.ranking(a), build.ranking(b), one.fraction)
                shared.append(with_method(found, method))
            build.writer.table("tax", with_holm(pd.concat(rows, ignore_index=True), ["p"], by="method"))
            build.writer.table("shared_neurons", pd.concat(shared, ignore_index=True))

        return [*stages, Stage(self.name, {stage.name: stage.key for stage in stages}, run, self.outputs)]

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`: of the first pair of each method, by every score that it changes."""

        def said(rows: pd.DataFrame) -> str:
            mine = first_rows(rows, "a", "b", "fraction")
            sentences = (tax_sentence(mine, score) for score in known_scores(mine) if score != "degenerate")
            return " ".join(filter(None, sentences))

        return by_method(tables["tax"], said)


def _swap(build: Build, name: str, asked: TaxSpec, a: str, b: str) -> Stage:
    """The stage of one pair of aligned models, both ways."""
    prompts = {suite: build.prompts(suite, asked.limit) for suite in asked.suites}
    file = f"answers/{name}.json"
    models = (build.config.model_of(a), build.config.model_of(b))

    def run(tell: Tell) -> None:
        shared = shared_set(build.ranking(a), build.ranking(b), asked.fraction)
        sets = {"shared": shared}
        if asked.random_seed >= 0 and len(shared):
            sets["random"] = NeuronSet.random_like(shared, seed=asked.random_seed)
        rows = []
        for i, (suite, ps) in enumerate(prompts.items()):
            for j, (into, out_of) in enumerate(((a, b), (b, a))):
                first, second = models if j == 0 else models[::-1]
                how = build.patching(sets=tuple(sets.values()), first=first, second=second, aligned=False)
                tell_part = share(tell, 2 * i + j, 2 * len(prompts))
                frame = build.answer(how, ps, tell_part)
                before = frame[frame["condition"] == -1]
                for number, (kind, ns) in enumerate(sets.items()):
                    after = frame[frame["condition"] == number]
                    cells: dict[str, Any] = {"a": a, "b": b, "into": into, "activations_of": out_of, "set": kind}
                    cells |= {"suite": suite, "fraction": asked.fraction, "k": len(ns)}
                    rows += tax_rows(cells, before, after, build.score_columns, build.config.max_new_tokens)
        write_json(build.work / file, rows)

    rows_a_prompt = 2 * (1 + 2 * (1 + (asked.random_seed >= 0)))
    tokens = sum(build.estimate(ps, rows_a_prompt, build.config.max_new_tokens) for ps in prompts.values())
    stage = Stage(name, answering_inputs(build, asked, [a, b], prompts), run, (file,), tokens)
    return stage


def tax_rows(
    cells: dict[str, object], before: pd.DataFrame, after: pd.DataFrame, scores: Sequence[str], max_new_tokens: int
) -> list[dict[str, Any]]:
    """What a patch changes in each score.

    Args:
        cells: what was patched: their columns lead each row.
        before, after: answers to the same prompts, columns prompt_id and the scores.
        scores: which scores.
        max_new_tokens: length limit of the answers.

    Returns:
        Rows of cells, score, n, max_new_tokens, before, after, delta (after − before over the same prompts), each with
        _low and _high, and p of a paired test (corrected for the number of tests in the table of all, as p_holm).
    """
    rows = []
    for score in scores:
        first = by_prompt(before, score)
        second = by_prompt(after, score).loc[first.index]
        a, b = first.to_numpy(), second.to_numpy()
        rows.append(
            {**cells, "score": score, "n": len(a), "max_new_tokens": max_new_tokens}
            | mean(a).columns("before")
            | mean(b).columns("after")
            | paired_difference(a, b).columns("delta")
            | {"p": paired_p(b, a)}
        )
    return rows


def shared_set(a: Ranking, b: Ranking, fraction: float) -> NeuronSet:
    """The neurons in the top sets of both rankings, in the order of the first."""
    return (a.top(fraction=fraction) & b.top(fraction=fraction)).relabel("shared")


def shared_table(names: tuple[str, str], a: Ranking, b: Ranking, fraction: float) -> pd.DataFrame:
    """What the two aligned models do at the neurons they share.

    Returns:
        Columns a, b, fraction, layer, neuron, rank_a, rank_b, delta_a (mean in A − mean in M1), delta_b, same_sign.
    """
    ns = shared_set(a, b, fraction)
    at = (ns.layers, ns.neurons)
    first, second = (changes.mean2[at] - changes.mean1[at] for changes in (a, b))
    return pd.DataFrame(
        {
            "a": names[0],
            "b": names[1],
            "fraction": fraction,
            "layer": ns.layers,
            "neuron": ns.neurons,
            "rank_a": a.ranks[at],
            "rank_b": b.ranks[at],
            "delta_a": first,
            "delta_b": second,
            "same_sign": np.sign(first) == np.sign(second),
        }
    )


def tax_sentence(frame: pd.DataFrame, score: str, label: Callable[[str], str] = ranking_label) -> str:
    """What one model's activations do to the other at the shared neurons, both ways.

    Args:
        frame: rows of one pair and size of top sets.
        score: which one changes.
        label: the aligned model that a ranking is of, in words.
    """
    rows = frame[(frame["set"] == "shared") & (frame["score"] == score)]
    parts = []
    for row in rows.to_dict("records"):
        low, high = row["delta_low"], row["delta_high"]
        sure = "" if low > 0 or high < 0 else ", not distinguishable from 0"
        parts.append(
            f"{label(str(row['activations_of']))} activations in {label(str(row['into']))} change "
            f"{score_words(score)} on {suite_label(str(row['suite']))} by **{signed(row['delta'], 2)}** "
            f"({signed(low, 2)} to {signed(high, 2)}, n = {row['n']}{sure})"
        )
    return "; ".join(parts) + "." if parts else ""
