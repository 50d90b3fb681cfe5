"""Stages of the studies that the build file asks for; each writes the tables of one study."""

from collections.abc import Callable
from typing import Any

from explorer.pipeline.context import Context, table_file
from explorer.pipeline.patching_studies import ablation, categories, identification, tax, transfer
from explorer.pipeline.reading_studies import capability, safeguard
from explorer.pipeline.series import series
from explorer.pipeline.single_neurons import single_neurons
from explorer.pipeline.stages import Stage, Tell

STUDIES: tuple[Callable[[Context], list[Stage]], ...] = (
    transfer,
    categories,
    tax,
    ablation,
    identification,
    safeguard,
    capability,
    series,
    single_neurons,
)
"""Those that need the models; each gives its stages, none where the build file does not ask for it."""


def study_stages(ctx: Context) -> list[Stage]:
    """The stages of every study."""
    return [_place(ctx), *_likeness(ctx), *(stage for study in STUDIES for stage in study(ctx))]


def _kept(ctx: Context) -> list[str]:
    return [r.name for r in ctx.config.rankings if r.keep]


def _keys(ctx: Context, names: list[str]) -> dict[str, Any]:
    return {name: ctx.key_of(f"ranking-{name}") for name in names}


def _place(ctx: Context) -> Stage:
    names = _kept(ctx)

    def run(_tell: Tell) -> None:
        from explorer.studies.place import place_table, sparsity_table

        rankings = {name: ctx.ranking(name) for name in names}
        ctx.writer.table("sparsity", sparsity_table(rankings))
        ctx.writer.table("place", place_table(rankings))

    return Stage("place", _keys(ctx, names), run, (table_file("sparsity"), table_file("place")))


def _likeness(ctx: Context) -> list[Stage]:
    """Overlap between all rankings, and between those of the seeds."""
    stages = []
    asked = {"overlap": _kept(ctx), "seeds": list(ctx.config.seeds.rankings) if ctx.config.seeds else []}
    for table, names in asked.items():
        if len(names) > 1:
            run = _likeness_run(ctx, table, names)
            stages.append(Stage(table, _keys(ctx, names), run, (table_file(table),)))
    return stages


def _likeness_run(ctx: Context, table: str, names: list[str]) -> Callable[[Tell], None]:
    def run(_tell: Tell) -> None:
        from explorer.studies.seeds import likeness_table

        ctx.writer.table(table, likeness_table({name: ctx.ranking(name) for name in names}))

    return run
