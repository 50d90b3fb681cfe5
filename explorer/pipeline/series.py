"""Stages that follow a training: one ranking for each checkpoint of the pair's [series], and what it restores."""

from dataclasses import asdict
from typing import Any

from explorer.data.suites_io import Prompt
from explorer.errors import ExplorerError
from explorer.pipeline.context import Context, table_file
from explorer.pipeline.models import step_name
from explorer.pipeline.rankings import ranking_stage
from explorer.pipeline.specs import RankingSpec, SeriesSpec
from explorer.pipeline.stages import Stage, Tell, digest, read_json, write_json

FOLDER = "series"
"""Of the work folder: rows of each checkpoint, for the table of all."""


def series(ctx: Context) -> list[Stage]:
    """Two stages for each checkpoint, which is then let go of, and one for the table.

    Raises:
        ExplorerError: the pair file lists no series.
    """
    spec = ctx.config.series
    if spec is None:
        return []
    steps = [step.step for step in ctx.models.spec.pair.series]
    if not steps:
        raise ExplorerError(f"{ctx.config.source} has a table [series], but its pair file lists no series.")
    asked = ctx.prompts(spec.answers, spec.answers_limit)
    stages = [stage for step in steps for stage in _step(ctx, spec, step, asked)]
    return [*stages, _table(ctx, steps)]


def _ranking(step: int) -> str:
    return f"{FOLDER}-{step}"


def _rows_file(step: int) -> str:
    return f"{FOLDER}/{step}.json"


def _step(ctx: Context, spec: SeriesSpec, step: int, asked: list[Prompt]) -> list[Stage]:
    """The ranking of a checkpoint, and the answers that its own top sets restore."""
    model, tokens, name = step_name(step), ctx.config.max_new_tokens, f"answers-{_ranking(step)}"
    ranking = RankingSpec(_ranking(step), spec.suite, spec.limit, max_new_tokens=tokens, adapter=model, keep=False)
    before = ranking_stage(ctx, ranking)
    inputs: dict[str, Any] = {
        "models": ctx.models_key("m1", model),
        "options": asdict(spec),
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
        write_json(ctx.work / _rows_file(step), step_rows(step, sets, frame, tokens))

    cost = ctx.estimate(asked, 2 + 2 * len(spec.fractions), tokens)
    stage = Stage(name, inputs, run, (_rows_file(step),), cost)
    ctx.set_key(name, stage.key)
    return [before, stage]


def _table(ctx: Context, steps: list[int]) -> Stage:
    inputs = {str(step): ctx.key_of(f"answers-{_ranking(step)}") for step in steps}

    def run(_tell: Tell) -> None:
        from explorer.studies.series import series_table

        rows = [row for step in steps for row in read_json(ctx.work / _rows_file(step))]
        ctx.writer.table("series", series_table(rows, {step: ctx.ranking(_ranking(step)) for step in steps}))

    return Stage(FOLDER, inputs, run, (table_file("series"),))
