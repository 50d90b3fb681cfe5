"""When do safety neurons appear? One ranking for each checkpoint of a training, against the last, and its effect.

A checkpoint is an M2 of its own (`PairSpec.series`). Its neurons are ranked against M1 as ever; the top set is
compared with the last checkpoint's, and patched into M1 to see what it restores at that step (table `series`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import pandas as pd

from explorer.charts.labels import interval, percent, rate
from explorer.digests import digest
from explorer.errors import ExplorerError
from explorer.files import read_json, write_json
from explorer.neurons.overlap import overlap
from explorer.neurons.ranking import Ranking, count_of
from explorer.neurons.sets import NeuronSet
from explorer.progress import Progress as Tell
from explorer.schema import Count, Fractions, Place, Some
from explorer.studies.basis import OwnMethod, RankingSpec, Steps
from explorer.studies.documented import FRACTION, METHOD, TOKENS, K, N
from explorer.studies.given import Build, BuildFile
from explorer.studies.planning import LATER, Stage, options, with_method
from explorer.studies.statistics import causal_effect, mean
from explorer.studies.study import Column, Needs, Study, Table
from explorer.studies.words import by_method, usual_rows

FOLDER = "series"
"""Of the work folder: rows of each checkpoint, for the table of all."""

FIRST = "contrast"
"""The method whose stages do not have its name in theirs."""

SETTLED = 0.9
"""The share of the last top set from which on a series is told to have it."""


@dataclass(frozen=True)
class SeriesSpec:
    """What is measured at each checkpoint of the pair's [series].

    Attributes:
        suite, limit: prompts to rank on.
        answers, answers_limit: the suite to answer when patched, and how many of its prompts.
        fractions: the sizes of each checkpoint's own top set.
        method: of the rankings.
        steps: of method "attribution".
    """

    suite: Place
    answers: Place
    limit: Count = 100
    answers_limit: Count = 50
    fractions: Annotated[Fractions, Some] = (0.05, 0.2)
    method: OwnMethod = field(default="contrast", metadata=LATER)
    steps: Steps = field(default=5, metadata=LATER)


class Series(Study[SeriesSpec]):
    """Two stages for each checkpoint and method; the checkpoint is then let go of. And one for the table."""

    name, title, settings = "series", "Along a training", SeriesSpec
    tables = (
        Table(
            "series",
            "one checkpoint's own top set of one size",
            (
                METHOD,
                Column("step", "of the training, at which the checkpoint was kept"),
                FRACTION,
                K,
                N,
                TOKENS,
                Column("refusal_m1", "share of M1's answers that refuse, 0 to 1", True),
                Column("refusal_m2", "the same of the checkpoint's", True),
                Column("refusal_patched", "the same of M1's, patched with the checkpoint's activations", True),
                Column("effect_refusal", "share of the gap restored; nan where there is none", True),
                Column("overlap", "with the last checkpoint's top set, as a share of k, 0 to 1"),
                Column("chance", "the share that random sets of the same layers would have in common, 0 to 1"),
                Column("spearman", "rank correlation over the shared neurons, −1 to 1; nan where they are too few"),
                Column("score_mean", "mean score of the top set, in the ranking's unit"),
            ),
        ),
    )

    def needs(self, asked: SeriesSpec) -> Needs:
        """See `Study.needs`; it computes the rankings of the pair's checkpoints itself."""
        return Needs(prompts=(asked.suite, asked.answers))

    def check(self, file: BuildFile, asked: Sequence[SeriesSpec]) -> None:
        """See `Study.check`."""
        methods = [one.method for one in asked]
        if len(set(methods)) < len(methods):
            raise ExplorerError(f"{file.source} has two tables [[series]] of one method; put their fractions into one.")

    def stages(self, build: Build, asked: Sequence[SeriesSpec]) -> list[Stage]:
        """See `Study.stages`.

        Raises:
            ExplorerError: the pair file lists no series.
        """
        steps = list(build.checkpoints)
        if not steps:
            raise ExplorerError(f"{build.config.source} has a table [series], but its pair file lists no series.")
        stages = [stage for step in steps for one in asked for stage in _step(build, one, step)]
        return [*stages, self._table(build, asked, steps)]

    def _table(self, build: Build, asked: Sequence[SeriesSpec], steps: list[int]) -> Stage:
        names = {(one, step): _ranking(one, step) for one in asked for step in steps}
        inputs = {name.removeprefix(f"{FOLDER}-"): build.key_of(f"answers-{name}") for name in names.values()}

        def run(_tell: Tell) -> None:
            tables = []
            for one in asked:
                rows = [row for step in steps for row in read_json(build.work / _rows_file(one, step))]
                rankings = {step: build.ranking(names[one, step]) for step in steps}
                tables.append(with_method(series_table(rows, rankings), one.method))
            build.writer.table("series", pd.concat(tables, ignore_index=True))

        return Stage(self.name, inputs, run, self.outputs)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        """See `Study.finding`."""
        return by_method(tables["series"], lambda rows: series_sentence(usual_rows(rows).sort_values("step")))


def _ranking(asked: SeriesSpec, step: int) -> str:
    return "-".join([FOLDER, *([asked.method] if asked.method != FIRST else []), str(step)])


def _rows_file(asked: SeriesSpec, step: int) -> str:
    return f"{FOLDER}/{_ranking(asked, step).removeprefix(FOLDER + '-')}.json"


def _step(build: Build, asked: SeriesSpec, step: int) -> list[Stage]:
    """The ranking of a checkpoint, and the answers that its own top sets restore."""
    prompts = build.prompts(asked.answers, asked.answers_limit)
    name, tokens, model = f"answers-{_ranking(asked, step)}", build.config.max_new_tokens, build.checkpoints[step]
    spec = RankingSpec(
        _ranking(asked, step),
        asked.suite,
        asked.limit,
        max_new_tokens=tokens,
        adapter=model,
        method=asked.method,
        steps=asked.steps,
        keep=False,
    )
    before = build.rank(spec)
    inputs: dict[str, Any] = {
        "models": build.models_key("m1", model),
        "options": options(asked),
        "tokens": tokens,
        "prompts": digest([p.prompt for p in prompts]),
        "ranking": before.key,
    }

    def run(tell: Tell) -> None:
        ranking = build.ranking(spec.name)
        sets = {fraction: ranking.top(fraction=fraction) for fraction in asked.fractions}
        how = build.patching(sets=tuple(sets.values()), second=model)
        frame = build.answer(how, prompts, tell, scorers={})
        write_json(build.work / _rows_file(asked, step), step_rows(step, sets, frame, tokens))

    cost = build.estimate(prompts, 2 + 2 * len(asked.fractions), tokens)
    stage = Stage(name, inputs, run, (_rows_file(asked, step),), cost)
    build.set_key(name, stage.key)
    return [before, stage]


def step_rows(
    step: int, sets: Mapping[float, NeuronSet], answers: pd.DataFrame, max_new_tokens: int
) -> list[dict[str, Any]]:
    """What patching a checkpoint's own top neurons into M1 restores, a row for each fraction.

    Args:
        step: of the checkpoint.
        sets: its top sets, by the fraction of all neurons.
        answers: rows of answers for these sets, in their order: condition, prompt_id, refused.
        max_new_tokens: length limit of the answers.

    Returns:
        step, fraction, k, n, max_new_tokens, and refusal_m1, refusal_m2, refusal_patched and effect_refusal,
        each with _low and _high; the effect is nan where M2 does not (yet) refuse distinguishably more than M1.
    """
    refused = answers.pivot(index="prompt_id", columns="condition", values="refused").astype(float)
    m1, m2 = refused[-1].to_numpy(), refused[-2].to_numpy()
    rows = []
    for number, (fraction, ns) in enumerate(sets.items()):
        patched = refused[number].to_numpy()
        row = {"step": step, "fraction": fraction, "k": len(ns), "n": len(m1), "max_new_tokens": max_new_tokens}
        for name, values in (("m1", m1), ("m2", m2), ("patched", patched)):
            row |= mean(values).columns(f"refusal_{name}")
        rows.append(row | causal_effect(m1, patched, m2).columns("effect_refusal"))
    return rows


def series_table(rows: Sequence[dict[str, Any]], rankings: dict[int, Ranking]) -> pd.DataFrame:
    """The rows of all steps, with the likeness of each step's top set to the last step's.

    Args:
        rows: of `step_rows`.
        rankings: the change scores of each step.

    Returns:
        The rows with overlap (share of k), chance, spearman (of the shared neurons) and score_mean (mean change
        score of the top set, activation units).
    """
    last = rankings[max(rankings)]
    table = []
    for row in rows:
        changes = rankings[row["step"]]
        k = max(1, count_of(row["fraction"], changes.total_neurons))
        found = overlap(changes, last, k)
        strength = float(changes.scores.reshape(-1)[changes.order[:k]].mean())
        likeness = {"overlap": found.overlap, "chance": found.chance, "spearman": found.spearman}
        table.append({**row, **likeness, "score_mean": strength})
    return pd.DataFrame(table).sort_values(["fraction", "step"], ignore_index=True)


def series_sentence(table: pd.DataFrame) -> str:
    """How soon the top set is the last one's, how much M2 refuses along the way, and where its top set restores that.

    Args:
        table: of `series_table`, of one fraction, by rising step.
    """
    first, last = table.iloc[0], table.iloc[-1]
    settled = _from_step(table, table["overlap"] >= SETTLED)
    text = (
        f"At step **{int(first['step'])}** the top set shares **{percent(first['overlap'])}** of its "
        f"{int(first['k']):,} neurons with that of step {int(last['step'])}, where chance gives "
        f"{percent(first['chance'])}."
    )
    if settled is None or settled == int(last["step"]):
        text += f" Before the last step it never shares {percent(SETTLED)} to the end."
    else:
        text += f" From step **{settled}** on it shares at least {percent(SETTLED)}."
    return f"{text} {_refusals(table)} {restored_words(table)}"


def _refusals(table: pd.DataFrame) -> str:
    """What M2 refuses at the first and last step and at its extremes, against M1."""
    rates = table["refusal_m2"]
    first, last = table.iloc[0], table.iloc[-1]
    least, most = table.iloc[int(rates.argmin())], table.iloc[int(rates.argmax())]
    more = table["effect_refusal"].notna() & (rates > table["refusal_m1"])
    return (
        f"M2 refuses {_rate(first, 'm2')} at step {int(first['step'])} and {_rate(last, 'm2')} at step "
        f"{int(last['step'])}; along the way from {rate(least['refusal_m2'])} (step {int(least['step'])}) to "
        f"{rate(most['refusal_m2'])} (step {int(most['step'])}). That is distinguishably more than M1's "
        f"{_rate(first, 'm1')} {_where(table, more)} (n = {int(first['n'])}, up to {int(first['max_new_tokens'])} "
        "tokens an answer)."
    )


def restored_words(table: pd.DataFrame) -> str:
    """At which steps the checkpoint's own top set restores refusals."""
    known = table["effect_refusal"].notna()
    if not known.any():
        return "No share of a gap in refusals can be given."
    low, high = table.loc[known, "effect_refusal"].min(), table.loc[known, "effect_refusal"].max()
    sure = table["effect_refusal_low"] > 0
    return (
        f"Where there is such a gap, the checkpoint's own top set restores {rate(low)} to {rate(high)} of it; "
        f"distinguishable from 0 {_where(table, sure)}."
    )


def _rate(row: pd.Series, model: str) -> str:
    name = f"refusal_{model}"
    return f"**{rate(row[name])}** ({interval(row[f'{name}_low'], row[f'{name}_high'])})"


def _where(table: pd.DataFrame, holds: pd.Series) -> str:
    """At which steps something holds: the steps that do, or all but those that do not."""
    yes, no = table.loc[holds, "step"].tolist(), table.loc[~holds, "step"].tolist()
    if not yes or not no:
        return f"at {'every' if yes else 'no'} step"
    if len(yes) <= len(no):
        return f"only at step{'s' * (len(yes) > 1)} {', '.join(map(str, yes))}"
    return f"at every step but {', '.join(map(str, no))}"


def _from_step(table: pd.DataFrame, holds: pd.Series) -> int | None:
    """The first step from which something holds to the end; None where it does not hold at the end."""
    fails = table.loc[~holds, "step"]
    after = table["step"] if fails.empty else table.loc[table["step"] > fails.max(), "step"]
    return None if after.empty else int(after.min())
