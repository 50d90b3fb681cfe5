"""Stages of the studies that the build file asks for."""

from explorer.pipeline.context import Context
from explorer.pipeline.stages import Stage


def study_stages(ctx: Context) -> list[Stage]:
    """The stages of every study."""
    return []
