"""The stages of studies, whichever there are: each gives its own for what the build file asks of it."""

from explorer.pipeline.context import BuildContext
from explorer.studies import STUDIES
from explorer.studies.planning import Stage


def study_stages(ctx: BuildContext) -> list[Stage]:
    """The stages of every study that is asked for, in the order of `STUDIES`."""
    stages: list[Stage] = []
    for name, study in STUDIES.items():
        asked = ctx.config.asked(name)
        if asked:
            stages += ctx.noted(study.stages(ctx, asked))
    return stages
