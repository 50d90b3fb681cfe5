"""Stages of the studies that the build file asks for; each writes the tables of one study."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from explorer.pipeline.context import Context, table_file
from explorer.pipeline.fewest import fewest
from explorer.pipeline.joined import Part, joined, with_method
from explorer.pipeline.patching_studies import ablation, identification, tax
from explorer.pipeline.reading_studies import capability, safeguard
from explorer.pipeline.series import series
from explorer.pipeline.single_neurons import single_neurons
from explorer.pipeline.stages import Stage, Tell
from explorer.pipeline.transfer_studies import categories, transfer

if TYPE_CHECKING:
    import pandas as pd

STUDIES: tuple[Callable[[Context], list[Stage]], ...] = (
    transfer,
    categories,
    tax,
    ablation,
    identification,
    safeguard,
    capability,
    series,
    fewest,  # after capability, whose table it reads
    single_neurons,
)
"""All but likeness; each gives its stages, none where the build file does not ask for it."""


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
    kept = _kept(ctx)
    seeds = [_likeness_part(ctx, "seeds", list(spec.rankings)) for spec in ctx.config.seeds]
    overlap = [_likeness_part(ctx, "overlap", kept)] if len(kept) > 1 else []
    return [*joined(ctx, "overlap", overlap, ("overlap",)), *joined(ctx, "seeds", seeds, ("seeds",))]


def _likeness_part(ctx: Context, table: str, names: list[str]) -> Part:
    def run(_key: str, _mark: str, _tell: Tell) -> "dict[str, pd.DataFrame]":
        from explorer.studies.seeds import likeness_table

        found = likeness_table({name: ctx.ranking(name) for name in names})
        return {table: found if table == "overlap" else with_method(found, ctx.config.method_of(*names))}

    return Part(_keys(ctx, names), 0.0, run)
