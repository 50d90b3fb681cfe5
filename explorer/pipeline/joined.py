"""One study, asked for by one table of a build file or by several ([[tax]]): one stage, and one table of all rows.

A study that is asked for once keeps the key that it had before it could be asked for more often.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.data.suites_io import Prompt
from explorer.pipeline.context import Context, share, table_file
from explorer.pipeline.specs import options
from explorer.pipeline.stages import Stage, Tell, digest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Part:
    """What one table of a build file asks of a study.

    Attributes:
        inputs: all that its rows depend on, as `Stage.inputs`.
        tokens: about how many tokens its models read and write.
        run: its rows, by the name of the run's table; called with the stage's key, what the names of its parts begin
            with, and a progress callback.
    """

    inputs: dict[str, Any]
    tokens: float
    run: Callable[[str, str, Tell], "dict[str, pd.DataFrame]"]


def joined(
    ctx: Context,
    name: str,
    parts: Sequence[Part],
    tables: Sequence[str],
    finish: "Callable[[pd.DataFrame], pd.DataFrame]" = lambda table: table,
    also: tuple[str, ...] = (),
) -> list[Stage]:
    """The stage of all parts of a study; none where there are none.

    Args:
        ctx: the build.
        name: of the stage.
        parts: of the study.
        tables: the tables that every part gives.
        finish: what is done to each table of all rows.
        also: further files that the parts write.
    """
    if not parts:
        return []
    inputs = parts[0].inputs if len(parts) == 1 else {"tables": [part.inputs for part in parts]}

    def run(tell: Tell) -> None:
        import pandas as pd

        found = [
            part.run(stage.key, f"{number + 1} " if number else "", share(tell, number, len(parts)))
            for number, part in enumerate(parts)
        ]
        for table in tables:
            ctx.writer.table(table, finish(pd.concat([frames[table] for frames in found], ignore_index=True)))

    outputs = (*map(table_file, tables), *also)
    stage = Stage(name, inputs, run, outputs, sum(part.tokens for part in parts))
    ctx.set_key(name, stage.key)
    return [stage]


def answering_inputs(ctx: Context, spec: Any, rankings: list[str], prompts: dict[str, list[Prompt]]) -> dict[str, Any]:
    """What every study of answers depends on."""
    models = [ctx.config.model_of(name) for name in rankings if name in {r.name for r in ctx.config.rankings}]
    return {
        "options": options(spec),
        "tokens": ctx.config.max_new_tokens,
        "scorers": ctx.scorer_keys(),
        "models": ctx.models_key("m1", "m2", *models),
        "rankings": [ctx.key_of(f"ranking-{name}") for name in rankings],
        "prompts": digest({name: [p.prompt for p in ps] for name, ps in prompts.items()}),
        "withheld": {name: ctx.is_withheld(ps[0]) for name, ps in prompts.items()},
    }


def with_method(frame: "pd.DataFrame", method: str) -> "pd.DataFrame":
    """The rows of one part, which begin with how its rankings were computed."""
    frame.insert(0, "method", method)
    return frame
