"""How a study becomes a stage of a build: one stage for all tables that ask for it, one run table of all rows.

A study that is asked for once keeps the key that it had before it could be asked for more often.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.data.suites_io import Prompt
from explorer.digests import digest
from explorer.progress import Progress as Tell
from explorer.studies.given import Build
from explorer.studies.planning import Stage, options, share, table_file, with_method

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Part:
    """What one table of a build file asks of a study.

    Attributes:
        inputs: all that its rows depend on, as `Stage.inputs`.
        tokens: about how many tokens its models read and write.
        run: its rows, by the name of the run's table; called with a progress callback.
    """

    inputs: dict[str, Any]
    tokens: float
    run: Callable[[Tell], "dict[str, pd.DataFrame]"]


def joined(
    build: Build,
    name: str,
    parts: Sequence[Part],
    tables: Sequence[str],
    finish: "Callable[[pd.DataFrame], pd.DataFrame]" = lambda table: table,
    also: tuple[str, ...] = (),
) -> list[Stage]:
    """The stage of all parts of a study; none where there are none.

    Args:
        build: the build.
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

        found = [part.run(share(tell, number, len(parts))) for number, part in enumerate(parts)]
        for table in tables:
            build.writer.table(table, finish(pd.concat([frames[table] for frames in found], ignore_index=True)))

    outputs = (*map(table_file, tables), *also)
    stage = Stage(name, inputs, run, outputs, sum(part.tokens for part in parts))
    build.set_key(name, stage.key)
    return [stage]


def answering_inputs(
    build: Build, settings: Any, rankings: Sequence[str], prompts: Mapping[str, Sequence[Prompt]]
) -> dict[str, Any]:
    """What every study of answers depends on."""
    models = [build.config.model_of(name) for name in rankings if name in {r.name for r in build.config.rankings}]
    return {
        "options": options(settings),
        "tokens": build.config.max_new_tokens,
        "scorers": build.scorer_keys(),
        "models": build.models_key("m1", "m2", *models),
        "rankings": [build.key_of(f"ranking-{name}") for name in rankings],
        "prompts": digest({name: [p.prompt for p in ps] for name, ps in prompts.items()}),
        "withheld": {name: build.is_withheld(ps[0]) for name, ps in prompts.items()},
    }


def of_ranking(build: Build, ranking: str, frame: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of one part, which begin with the ranking that it read, and how that was computed."""
    frame.insert(0, "ranking", ranking)
    return with_method(frame, build.config.method_of(ranking))
