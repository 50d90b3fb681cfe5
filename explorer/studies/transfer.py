"""Transfer: neurons found on one suite of prompts, patched while others are answered (table `transfer`).

The same between harm categories is the study `categories`, which shares rows and finding with this one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from explorer.charts.labels import span
from explorer.neurons.overlap import chance
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress as Tell
from explorer.schema import Count, Fraction, Places
from explorer.studies.documented import ANSWERS, FRACTION, METHOD, SCORES, TOKENS, K
from explorer.studies.effect import DEGENERATE, compare, plain_answers
from explorer.studies.effect import SCORES as JUDGED
from explorer.studies.given import Build
from explorer.studies.joining import Part, answering_inputs
from explorer.studies.planning import share, with_method
from explorer.studies.study import Column, Needs, Study, Table
from explorer.studies.words import by_method, first_rows, mean_of, score_words, share_of

COLUMNS = (
    METHOD,
    Column("kind", "suite or category"),
    Column("source", "the ranking (or category) whose top neurons are patched"),
    Column("target", "the suite (or category) that is answered"),
    Column("own", "the source that was found on prompts of the target's kind; empty for none"),
    K,
    FRACTION,
    Column("n", "prompts of the target that were answered"),
    TOKENS,
    Column("shared", "share of the source's neurons that are in the own source's set too, 0 to 1; nan without one"),
    Column("chance", "what random sets of the same layers would share, 0 to 1; nan without an own source"),
    *SCORES,
)
"""Of one row a cell of the matrix source × target."""


@dataclass(frozen=True)
class TransferSpec:
    """Neurons found on one kind of prompts, patched on another.

    Attributes:
        sources: rankings, each of a suite of its own.
        targets: suites under [[answers]], whose unpatched and aligned answers are used again.
        fraction: the size of the sets.
        limit: at most so many prompts of each target.
    """

    sources: Places
    targets: Places
    fraction: Fraction = 0.05
    limit: Count = 100


class Transfer(Study[TransferSpec]):
    """Suite × suite: every source ranking's neurons, patched on every target suite."""

    name, title, settings = "transfer", "Transfer between suites", TransferSpec
    tables = (
        Table("transfer", "one source's neurons patched on one target", COLUMNS),
        Table("transfer_answers", "one patched answer behind a cell of transfer", (METHOD, *ANSWERS)),
    )

    def needs(self, asked: TransferSpec) -> Needs:
        """See `Study.needs`."""
        return Needs(rankings=asked.sources, answers=asked.targets)

    def part(self, build: Build, asked: TransferSpec, number: int) -> Part:
        """See `Study.part`."""
        limits = {suite: min(asked.limit, build.plain_spec(suite).limit) for suite in asked.targets}
        prompts = {suite: build.prompts(suite, limit) for suite, limit in limits.items()}
        inputs = answering_inputs(build, asked, asked.sources, prompts)
        inputs["answers"] = build.plain_keys(asked.targets)

        def run(tell: Tell) -> dict[str, pd.DataFrame]:
            own = {_kind_of(build.config.ranking(name).suite): name for name in asked.sources}
            rankings = {name: build.ranking(name) for name in asked.sources}
            sets = {name: ranking.top(fraction=asked.fraction) for name, ranking in rankings.items()}
            how = build.patching(sets=tuple(sets.values()), unpatched=False, aligned=False)
            matrix = TransferMatrix(build, "suite", sets, rankings)
            for i, (suite, ps) in enumerate(prompts.items()):
                frame = build.answer(how, ps, share(tell, i, len(prompts)))
                frame = frame.assign(source=[asked.sources[c] for c in frame["condition"]])
                base = plain_answers(build.plain_answers(suite))
                matrix.add(suite, own.get(_kind_of(suite), ""), frame, base)
            return matrix.tables("transfer", build.config.method_of(*asked.sources))

        rows, tokens = 2 * len(asked.sources), build.config.max_new_tokens
        return Part(inputs, sum(build.estimate(ps, rows, tokens) for ps in prompts.values()), run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        return by_method(tables["transfer"], lambda rows: transfer_sentence(first_rows(rows, "fraction"), JUDGED[0]))


def _kind_of(suite: str) -> str:
    """What a suite's prompts are like: the training and the held-out part of one are of one kind."""
    return suite.removesuffix("_train").removesuffix("_eval")


class TransferMatrix:
    """Rows and answers of a matrix source × target, column by column."""

    def __init__(self, build: Build, kind: str, sets: Mapping[str, NeuronSet], rankings: Mapping[str, Ranking]) -> None:
        """
        Args:
            build: whose scores are looked at.
            kind: "suite" or "category".
            sets, rankings: the set of every source, and the ranking that it is of.
        """
        self.kind, self.sets, self.rankings = kind, sets, rankings
        self.scores, self.tokens = build.score_columns, build.config.max_new_tokens
        self.rows: list[dict[str, Any]] = []
        self.answers: list[pd.DataFrame] = []

    def add(self, target: str, own: str, frame: pd.DataFrame, base: Mapping[str, pd.DataFrame]) -> None:
        """One target: its patched answers with their source, and its plain ones, see `transfer_rows`."""
        frame = frame.assign(target=target, kind=self.kind)
        self.rows += transfer_rows(
            self.kind, target, own, frame, base, self.sets, self.rankings, self.scores, self.tokens
        )
        scores = [c for c in frame if c in self.scores and c != DEGENERATE]
        columns = ["kind", "source", "target", "prompt_id", "prompt", "category", "answer", *scores, "refused"]
        self.answers.append(frame[columns])

    def tables(self, name: str, method: str) -> dict[str, pd.DataFrame]:
        """The matrix and its answers, as the tables of a study of this name."""
        return {
            name: with_method(pd.DataFrame(self.rows), method),
            f"{name}_answers": with_method(pd.concat(self.answers, ignore_index=True), method),
        }


def transfer_rows(
    kind: str,
    target: str,
    own: str,
    answers: pd.DataFrame,
    base: Mapping[str, pd.DataFrame],
    sets: Mapping[str, NeuronSet],
    rankings: Mapping[str, Ranking],
    scores: Sequence[str],
    max_new_tokens: int,
) -> list[dict[str, Any]]:
    """One column of the matrix: every source's neurons on one target.

    Args:
        kind: "suite" or "category".
        target: name of the prompts.
        own: the source that was found on prompts of the same kind; "" for none.
        answers: columns source, prompt_id and the scores: the target's prompts, patched with each source's set.
        base: "unpatched" and "aligned" answers to the target's prompts, by prompt_id.
        sets, rankings: the set of every source, and the ranking that it is of.
        scores: which scores.
        max_new_tokens: length limit of the answers.

    Returns:
        Rows of kind, source, target, own, k, fraction, n, max_new_tokens, shared (neurons that are in the own source's
        set as well, as a share; nan where there is none), chance (what random sets of the layers that take part
        would share; nan where there is no own source), and for each score its mean and effect with intervals.
    """
    same = sets.get(own)
    rows = []
    for source, part in answers.groupby("source", sort=False):
        ns = sets[str(source)]
        row = {
            "kind": kind,
            "source": source,
            "target": target,
            "own": own,
            "k": len(ns),
            "fraction": ns.fraction,
            "n": part["prompt_id"].nunique(),
            "max_new_tokens": max_new_tokens,
            "shared": float("nan") if same is None else len(ns & same) / max(1, len(ns)),
            "chance": float("nan") if same is None else chance(rankings[str(source)], rankings[own], len(same)),
        }
        for score in scores:
            row |= compare(part, dict(base), score)
        rows.append(row)
    return rows


def transfer_sentence(frame: pd.DataFrame, score: str) -> str:
    """How much is lost when neurons of one kind of prompts are patched on another, by several scores."""
    texts = [transfer_of(frame, s) for s in dict.fromkeys([score, *JUDGED]) if f"effect_{s}" in frame]
    return " ".join(texts) or f"No share of the gap in {score_words(score)} can be given: the run does not hold it."


def transfer_of(frame: pd.DataFrame, score: str) -> str:
    """How much is lost, by one score."""
    column = f"effect_{score}"
    known = frame.dropna(subset=[column])
    own = known[known["source"] == known["own"]]
    other = known[known["source"] != known["own"]]
    if own.empty or other.empty:
        return (
            f"No share of the gap in {score_words(score)} can be given: the two models are not distinguishable there."
        )
    k, n = int(known["k"].iloc[0]), known["n"]
    first, second = mean_of(own, column), mean_of(other, column)
    if first.low > second.high or second.low > first.high:
        apart = "more" if first.value > second.value else "less"
        verdict = f"those found on the prompts themselves restore distinguishably {apart}"
    else:
        verdict = "the two are not distinguishable"
    return (
        f"With {k:,} neurons, those found on the prompts themselves restore {share_of(first)} of the gap in "
        f"{score_words(score)} on average, those found on others {share_of(second)} ({len(own)} and {len(other)} "
        f"cells, n = {span(n.min(), n.max())} prompts a cell, up to {int(known['max_new_tokens'].iloc[0])} tokens an "
        f"answer): {verdict}."
    )
