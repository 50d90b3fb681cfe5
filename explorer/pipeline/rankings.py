"""Stages that compute rankings, a chunk of prompts at a time."""

from typing import Any

from explorer.digests import digest
from explorer.neurons.ranking import Ranking
from explorer.pipeline.ranking_methods import RANKING_METHODS
from explorer.runs.format import TENSORS
from explorer.studies.basis import RankingSpec
from explorer.studies.given import Build
from explorer.studies.planning import CHUNK, Stage, options

HIDDEN = "hidden"
"""The folder of rankings that only other stages read."""


def ranking_stages(ctx: Build) -> list[Stage]:
    """One stage for each ranking under [rankings]."""
    return [ranking_stage(ctx, spec) for spec in ctx.config.rankings]


def ranking_stage(ctx: Build, spec: RankingSpec) -> Stage:
    """The stage of one ranking; one that is not kept lies where the run does not take it from."""
    method, second = RANKING_METHODS[spec.method], spec.adapter or "m2"
    texts = {spec.suite: [p.prompt for p in ctx.prompts(spec.suite, spec.limit, spec.category)]}
    if method.against:
        texts[spec.against] = [p.prompt for p in ctx.prompts(spec.against, spec.limit)]
    settings = {key: value for key, value in options(spec).items() if key not in ("name", "keep")}
    inputs = {"models": ctx.models_key("m1", second), "options": settings, "prompts": digest(texts), "chunk": CHUNK}
    name = f"ranking-{spec.name}"
    stage = Stage(
        name,
        inputs,
        lambda tell: _write(ctx, spec, method.compute(ctx, spec, texts, stage.key, tell)),
        (f"{TENSORS if spec.keep else HIDDEN}/{spec.name}.safetensors",),
        method.tokens(ctx, spec, texts),
    )
    ctx.set_key(name, stage.key)
    return stage


def _write(ctx: Build, spec: RankingSpec, changes: Ranking) -> dict[str, Any]:
    if spec.keep:
        return ctx.writer.change_scores(spec.name, changes)
    arrays, about = changes.to_parts()
    ctx.writer.tensors(spec.name, arrays, HIDDEN)
    return about
