"""The stage of the study `fewest`, which reads what others wrote: answers of both directions, and capability."""

from typing import Any

from explorer.pipeline.context import Context, table_file
from explorer.pipeline.specs import DIRECTIONS
from explorer.pipeline.stages import Stage, Tell
from explorer.studies import statistics


def fewest(ctx: Context) -> list[Stage]:
    """Which ranking finds the fewest neurons: one stage, none where the build file does not ask for it."""
    spec = ctx.config.fewest
    if spec is None:
        return []
    patched = [a for a in ctx.config.answers if a.fractions]
    directions = [d for d in DIRECTIONS if any(a.direction == d for a in patched)]
    methods = {name: ctx.config.method_of(name) for name in dict.fromkeys(a.ranking for a in patched)}
    inputs: dict[str, Any] = {
        "everyday": spec.everyday,
        "main": ctx.config.main_ranking,
        "methods": methods,
        "answers": {a.key: ctx.key_of(f"answers-{a.key}") for a in ctx.config.answers},
        "capability": ctx.key_of("capability") if ctx.config.capability else "",
        "statistics": statistics.VERSION,
    }

    def run(_tell: Tell) -> None:
        from explorer.studies.fewest import Measured, fewest_table

        capability = ctx.table("capability") if ctx.config.capability else None
        measured = {}
        for direction in directions:
            suffix = "" if direction == DIRECTIONS[0] else f"_{direction}"
            answers, effect, restoring = (ctx.table(name + suffix) for name in ("answers", "effect", "restoring"))
            read = capability if direction == DIRECTIONS[0] else None
            measured[direction] = Measured(answers, effect, restoring, read)
        tokens = ctx.config.max_new_tokens
        table = fewest_table(measured, methods, ctx.config.main_ranking, spec.everyday, tokens)
        ctx.writer.table("fewest", table)

    return [Stage("fewest", inputs, run, (table_file("fewest"),))]
