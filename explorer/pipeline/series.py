"""Stages that follow a training: one ranking for each checkpoint of the pair's [series], and what it restores."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from explorer.errors import ExplorerError
from explorer.pipeline.context import Context, table_file
from explorer.pipeline.joined import with_method
from explorer.pipeline.models import step_name
from explorer.pipeline.rankings import ranking_stage
from explorer.pipeline.specs import RankingSpec, SeriesSpec, options
from explorer.pipeline.stages import Stage, Tell, digest, read_json, write_json

FOLDER = "series"
"""Of the work folder: rows of each checkpoint, for the table of all."""

FIRST = "contrast"
"""The method whose stages do not have its name in theirs."""


def series(ctx: Context) -> list[Stage]:
    """Two stages for each checkpoint and method; the checkpoint is then let go of. And one for the table.

    Raises:
        ExplorerError: the pair file lists no series.
    """
    specs = ctx.config.series
    if not specs:
        return []
    steps = [step.step for step in ctx.models.spec.pair.series]
    if not steps:
        raise ExplorerError(f"{ctx.config.source} has a table [series], but its pair file lists no series.")
    stages = [stage for step in steps for spec in specs for stage in _step(ctx, spec, step)]
    return [*stages, _table(ctx, specs, steps)]


def _ranking(spec: SeriesSpec, step: int) -> str:
    return "-".join([FOLDER, *([spec.method] if spec.method != FIRST else []), str(step)])


def _rows_file(spec: SeriesSpec, step: int) -> str:
    return f"{FOLDER}/{_ranking(spec, step).removeprefix(FOLDER + '-')}.json"


def _step(ctx: Context, spec: SeriesSpec, step: int) -> list[Stage]:
    """The ranking of a checkpoint, and the answers that its own top sets restore."""
    asked = ctx.prompts(spec.answers, spec.answers_limit)
    model, tokens, name = step_name(step), ctx.config.max_new_tokens, f"answers-{_ranking(spec, step)}"
    ranking = RankingSpec(
        _ranking(spec, step),
        spec.suite,
        spec.limit,
        max_new_tokens=tokens,
        adapter=model,
        method=spec.method,
        steps=spec.steps,
        keep=False,
    )
    before = ranking_stage(ctx, ranking)
    inputs: dict[str, Any] = {
        "models": ctx.models_key("m1", model),
        "options": options(spec),
        "tokens": tokens,
        "prompts": digest([p.prompt for p in asked]),
        "ranking": before.key,
    }

    def run(tell: Tell) -> None:
        from explorer.studies.series import step_rows

        changes = ctx.ranking(ranking.name)
        sets = {fraction: changes.top(fraction=fraction) for fraction in spec.fractions}
        how = ctx.patching(sets=tuple(sets.values()), second=model)
        frame = ctx.answer(name, stage.key, how, asked, tell, scorers={})
        write_json(ctx.work / _rows_file(spec, step), step_rows(step, sets, frame, tokens))

    cost = ctx.estimate(asked, 2 + 2 * len(spec.fractions), tokens)
    stage = Stage(name, inputs, run, (_rows_file(spec, step),), cost)
    ctx.set_key(name, stage.key)
    return [before, stage]


def _table(ctx: Context, specs: Sequence[SeriesSpec], steps: list[int]) -> Stage:
    names = {(spec, step): _ranking(spec, step) for spec in specs for step in steps}
    inputs = {name.removeprefix(f"{FOLDER}-"): ctx.key_of(f"answers-{name}") for name in names.values()}

    def run(_tell: Tell) -> None:
        from explorer.studies.series import series_table

        tables = []
        for spec in specs:
            rows = [row for step in steps for row in read_json(ctx.work / _rows_file(spec, step))]
            rankings = {step: ctx.ranking(names[spec, step]) for step in steps}
            tables.append(with_method(series_table(rows, rankings), spec.method))
        ctx.writer.table("series", pd.concat(tables, ignore_index=True))

    return Stage(FOLDER, inputs, run, (table_file("series"),))
