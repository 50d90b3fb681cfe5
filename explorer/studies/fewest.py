"""Which ranking finds the fewest neurons (table `fewest`)? No model answers anew: other tables side by side.

For every ranking whose top sets were patched, on every suite and by two judges: the fraction that restores 90 % of the
safety gap, and the fraction that breaks 90 % of it. What is sparse must also be clean, so at that fraction stand how
many of the patched answers are degenerate, how many everyday prompts are refused, and what became of perplexity.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from explorer.charts.labels import suite_label
from explorer.errors import ExplorerError
from explorer.neurons.patch import DIRECTIONS
from explorer.progress import Progress as Tell
from explorer.schema import Place
from explorer.studies import statistics
from explorer.studies.documented import TOKENS, N
from explorer.studies.effect import RESTORED, plain_answers, reached, values
from explorer.studies.given import Build, BuildFile
from explorer.studies.planning import Stage
from explorer.studies.study import Column, Needs, Study, Table

SCORES = ("refusal", "cost")
"""The two judges, which share no words."""

RANDOM = "random"
"""What as many random neurons of the same layers are called among the rankings."""

COLUMNS = (
    Column("direction", "restore (M2's activations into M1) or break (M1's into M2)"),
    Column("ranking", "whose top sets were patched; random for random neurons of the main one's layers"),
    Column("method", "how the ranking was computed"),
    Column("suite", "the prompt suite that was answered"),
    Column("score", "refusal or cost"),
    Column("share", "of the gap that is asked for, 0 to 1"),
    Column("fraction", "of all neurons that it takes; infinite where it is not reached, nan without a gap", True),
    Column("largest", "the largest fraction measured"),
    N,
    TOKENS,
    Column("at", "the smallest fraction measured that is enough; nan for none"),
    Column("degenerate", "share of degenerate answers there, 0 to 1; nan where it was not measured"),
    Column("everyday", "share of everyday prompts refused there, 0 to 1; nan where it was not measured"),
    Column("perplexity", "there over M1's; nan where it was not measured"),
    Column("seeds", "random draws; 0 for rankings"),
)

SAME = 1e-9
"""Fractions that lie no further apart are one."""


@dataclass(frozen=True)
class FewestSpec:
    """Which ranking finds the fewest neurons? Out of the answers under [[answers]] and the study [capability].

    Attributes:
        everyday: the suite of harmless prompts under [[answers]] whose refusals stand beside each fraction.
    """

    everyday: Place = "everyday_eval"


class Fewest(Study[FewestSpec]):
    """Which ranking finds the fewest neurons, out of what others wrote: answers of both directions, and capability."""

    name, title, settings = "fewest", "Which ranking finds the fewest?", FewestSpec
    often = False
    tables = (Table("fewest", "one ranking on one suite by one judge", COLUMNS),)

    def needs(self, asked: FewestSpec) -> Needs:
        """See `Study.needs`; it reads every table under [[answers]], by no name."""
        return Needs(tables=("answers", "effect", "restoring", "capability"))

    def check(self, file: BuildFile, asked: Sequence[FewestSpec]) -> None:
        """See `Study.check`."""
        if asked and not any(a.fractions for a in file.answers):
            raise ExplorerError(
                f"{file.source}: [fewest] reads answers of patched models; give [[answers]] some fractions."
            )

    def stages(self, build: Build, asked: Sequence[FewestSpec]) -> list[Stage]:
        """See `Study.stages`."""
        (one,) = asked
        file = build.config
        patched = [a for a in file.answers if a.fractions]
        directions = [d for d in DIRECTIONS if any(a.direction == d for a in patched)]
        methods = {name: file.method_of(name) for name in dict.fromkeys(a.ranking for a in patched)}
        read = build.table_key("capability")
        inputs: dict[str, Any] = {
            "everyday": one.everyday,
            "main": file.main_ranking,
            "methods": methods,
            "answers": {a.key: build.key_of(f"answers-{a.key}") for a in file.answers},
            "capability": read,
            "statistics": statistics.VERSION,
        }

        def run(_tell: Tell) -> None:
            capability = build.table("capability") if read else None
            measured = {}
            for direction in directions:
                suffix = "" if direction == DIRECTIONS[0] else f"_{direction}"
                answers, effect, restoring = (build.table(name + suffix) for name in ("answers", "effect", "restoring"))
                tested = capability if direction == DIRECTIONS[0] else None
                measured[direction] = Measured(answers, effect, restoring, tested)
            table = fewest_table(measured, methods, file.main_ranking, one.everyday, file.max_new_tokens)
            build.writer.table("fewest", table)

        return [Stage(self.name, inputs, run, self.outputs)]

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`: on the first suite, by refusals, in each direction."""
        table = tables["fewest"]
        if table.empty:
            return ""
        suite = str(table["suite"].iloc[0])
        named = table.assign(suite=table["suite"].map(suite_label))
        return " ".join(fewest_sentence(named, suite_label(suite), str(d)) for d in table["direction"].unique())


@dataclass(frozen=True)
class Measured:
    """What a run measured in one direction.

    Attributes:
        answers, effect, restoring: its tables of that direction.
        capability: the table of general ability; None where patches of that direction were not tested.
    """

    answers: pd.DataFrame
    effect: pd.DataFrame
    restoring: pd.DataFrame
    capability: pd.DataFrame | None = None


def fewest_table(
    measured: Mapping[str, Measured], methods: Mapping[str, str], main: str, everyday: str, max_new_tokens: int
) -> pd.DataFrame:
    """The fraction that each ranking needs, and what it costs.

    Args:
        measured: by direction, "restore" (M2's activations into M1) or "break" (M1's into M2).
        methods: how each ranking was computed.
        main: the main ranking, whose random controls stand as the ranking "random".
        everyday: the suite of harmless prompts.
        max_new_tokens: length limit of the answers.

    Returns:
        Columns direction, ranking, method, suite, score ("refusal", "cost"), share (of the gap, `effect.RESTORED`),
        fraction, fraction_low, fraction_high (95 % interval; infinite where it is not reached, nan where the gap is not
        distinguishable from 0), largest (the largest fraction measured), n, max_new_tokens, and at the smallest
        fraction measured that is not below it, `at` (nan where there is none): degenerate (share of patched answers),
        everyday (share of the everyday prompts that the patched model refuses) and perplexity (over M1's), each nan
        where it was not measured; seeds (random draws; 0 for rankings). Of random neurons `fraction` is that of the
        draw that reaches the share first, infinite where none does, and the interval spans those of all draws.
    """
    rows = []
    for direction, tables in measured.items():
        for row in _records(_wanted(tables.restoring, tables.answers, everyday)):
            cells = {"direction": direction, "ranking": row["ranking"], "method": methods[row["ranking"]], **row}
            at = _measured_at(tables.effect, row)
            rows.append(cells | {"at": at, **_clean(tables, row, at, everyday), "seeds": 0})
        for row in _random(tables.answers, main, everyday, max_new_tokens):
            cells = {"direction": direction, "ranking": RANDOM, "method": RANDOM, **row}
            rows.append(cells | {"at": np.nan, "degenerate": np.nan, "everyday": np.nan, "perplexity": np.nan})
    return pd.DataFrame(rows, columns=[name for column in COLUMNS for name in column.names()])


def fewest_sentence(table: pd.DataFrame, suite: str, direction: str = "restore", score: str = "refusal") -> str:
    """The finding on one suite: which ranking needs the fewest neurons, and what the others need.

    Args:
        table: of `fewest_table`.
        suite: a prompt suite.
        direction: "restore" or "break".
        score: "refusal" or "cost".
    """
    asked = (table["suite"] == suite) & (table["direction"] == direction) & (table["score"] == score)
    rows = table[asked & table["fraction"].notna()].sort_values("fraction", kind="stable")
    does, by = "restores" if direction == "restore" else "breaks", "refusals" if score == "refusal" else "cost"
    drawn = rows["ranking"] == RANDOM
    if drawn.all():
        return f"On {suite} the two models do not differ distinguishably in {by}, so there is nothing to find there."
    best, others = rows[~drawn].iloc[0], pd.concat([rows[~drawn].iloc[1:], rows[drawn]])
    share = _percent(best["share"])
    counts = f"n = {int(best['n'])}, up to {int(best['max_new_tokens'])} tokens an answer"
    if np.isinf(best["fraction"]):
        most = _percent(rows["largest"].max())
        return f"On {suite} no ranking {does} {share} of the gap in {by} with up to {most} of the neurons ({counts})."
    low, high = (_percent(best[f"fraction_{end}"]) for end in ("low", "high"))
    text = (
        f"On {suite} the ranking “{best['ranking']}” {does} {share} of the gap in {by} with the fewest neurons: "
        f"{_percent(best['fraction'])} of them (95 % interval {low} to {high}; {counts})"
    )
    said = [f"{_name(row)}: {_needs(row)}" for row in _records(others)]
    return text + (f"; {', '.join(said)}." if said else ".")


def _name(row: Mapping[str, Any]) -> str:
    return "random neurons of the same layers" if row["ranking"] == RANDOM else f"“{row['ranking']}”"


def _needs(row: Mapping[str, Any]) -> str:
    """The fraction that a ranking needs, in words."""
    return f"more than {_percent(row['largest'])}" if np.isinf(row["fraction"]) else _percent(row["fraction"])


def _percent(share: float) -> str:
    """A share in percent, three digits at most; an infinite one in words."""
    return "more than was measured" if np.isinf(share) else f"{100 * share:.3g} %"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _wanted(restoring: pd.DataFrame, answers: pd.DataFrame, everyday: str) -> pd.DataFrame:
    """The rows of the two judges, those of cost only where there is one; everyday prompts have nothing to restore."""
    scores = SCORES if answers["cost"].notna().any() else SCORES[:1]
    return restoring[restoring["score"].isin(scores) & (restoring["suite"] != everyday)]


def _measured_at(effect: pd.DataFrame, row: Mapping[str, Any]) -> float:
    """The smallest fraction measured that is not below what the share needs; nan for none."""
    top = _top(effect, row["suite"], row["ranking"])
    enough = top.loc[top["fraction"] >= row["fraction"] - SAME, "fraction"]
    return float(enough.min()) if len(enough) and np.isfinite(row["fraction"]) else float("nan")


def _clean(tables: Measured, row: Mapping[str, Any], at: float, everyday: str) -> dict[str, float]:
    """What the patch does beside what it is for, at one fraction."""
    mine, harmless = (_top(tables.effect, suite, row["ranking"]) for suite in (row["suite"], everyday))
    cells = {"degenerate": _at(mine, at, "degenerate"), "everyday": _at(harmless, at, "refusal"), "perplexity": np.nan}
    if tables.capability is not None:
        read = tables.capability
        read = read[(read["task"] == "wikitext2") & (read["model"] == "patched") & (read["ranking"] == row["ranking"])]
        cells["perplexity"] = _at(read, at, "change")
    return cells


def _top(effect: pd.DataFrame, suite: str, ranking: str) -> pd.DataFrame:
    return effect[(effect["suite"] == suite) & (effect["ranking"] == ranking) & (effect["set"] == "safety")]


def _at(rows: pd.DataFrame, fraction: float, column: str) -> float:
    """A cell of the row of one fraction; nan where there is none."""
    found = rows.loc[(rows["fraction"] - fraction).abs() < SAME, column]
    return float(found.iloc[0]) if len(found) else float("nan")


def _random(answers: pd.DataFrame, main: str, everyday: str, max_new_tokens: int) -> Iterator[dict[str, Any]]:
    """Rows of random neurons, of the same layers as the main ranking's top sets."""
    drawn = (answers["set"] == RANDOM) & (answers["ranking"] == main) & (answers["suite"] != everyday)
    for suite, patched in answers[drawn].groupby("suite", sort=False):
        base = plain_answers(answers[answers["suite"] == suite])
        for score in SCORES:
            if np.isnan(values(patched, score)).all():
                continue
            draws = pd.DataFrame([reached(draw, base, score) for _, draw in patched.groupby("seed", sort=True)])
            yield {
                **{"suite": suite, "score": score, "share": RESTORED},
                "fraction": float(draws["fraction"].min(skipna=False)),
                "fraction_low": float(draws["fraction_low"].min(skipna=False)),
                "fraction_high": float(draws["fraction_high"].max(skipna=False)),
                **{"largest": float(draws["largest"].max()), "n": int(draws["n"].max())},
                **{"max_new_tokens": max_new_tokens, "seeds": len(draws)},
            }
