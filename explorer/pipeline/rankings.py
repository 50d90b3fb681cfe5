"""Stages that compute rankings, a chunk of prompts at a time."""

from typing import Any

from explorer.digests import digest
from explorer.neurons.ranking import Ranking
from explorer.pipeline import tasks
from explorer.pipeline.models import STEP
from explorer.progress import Progress as Tell
from explorer.runs.columns import BY_CHANGE
from explorer.runs.format import TENSORS
from explorer.studies.basis import ONE_MODEL, RankingSpec
from explorer.studies.given import Build
from explorer.studies.planning import CHUNK, Stage, chunks, options, share

HIDDEN = "hidden"
"""The folder of rankings that only other stages read."""


def ranking_stages(ctx: Build) -> list[Stage]:
    """One stage for each ranking under [rankings]."""
    return [ranking_stage(ctx, spec) for spec in ctx.config.rankings]


def ranking_stage(ctx: Build, spec: RankingSpec) -> Stage:
    """The stage of one ranking; one that is not kept lies where the run does not take it from."""
    second = spec.adapter or "m2"
    texts = {spec.suite: [p.prompt for p in ctx.prompts(spec.suite, spec.limit, spec.category)]}
    if spec.method == "prompt_difference":
        texts[spec.against] = [p.prompt for p in ctx.prompts(spec.against, spec.limit)]
    settings = {key: value for key, value in options(spec).items() if key not in ("name", "keep")}
    inputs = {"models": ctx.models_key("m1", second), "options": settings, "prompts": digest(texts), "chunk": CHUNK}
    name = f"ranking-{spec.name}"
    stage = Stage(
        name,
        inputs,
        lambda tell: _write(ctx, spec, _compute(ctx, spec, texts, stage.key, tell)),
        (f"{TENSORS if spec.keep else HIDDEN}/{spec.name}.safetensors",),
        _tokens(ctx, spec, texts),
    )
    ctx.set_key(name, stage.key)
    return stage


def _tokens(ctx: Build, spec: RankingSpec, texts: dict[str, list[str]]) -> float:
    if spec.method == "attribution":  # two texts a prompt; a backward pass costs what a forward pass does
        passes = 2 * len(spec.attributing().steps) + 1
        return ctx.estimate(texts[spec.suite], 2 * passes + 2, spec.max_new_tokens)
    writes = spec.method not in ONE_MODEL and spec.positions in ("paper", "shifted")
    new = spec.max_new_tokens if writes else 0
    return sum(ctx.estimate(prompts, 2 + writes, new) for prompts in texts.values())


def _compute(ctx: Build, spec: RankingSpec, texts: dict[str, list[str]], key: str, tell: Tell) -> Ranking:
    if spec.method == "attribution":
        return _attribute(ctx, spec, texts[spec.suite], key, tell)
    free = spec.method in ONE_MODEL
    how = tasks.Contrasting(
        spec.max_new_tokens, "last_prompt" if free else spec.positions, spec.answers, spec.adapter or "m2"
    )
    meta: dict[str, Any] = {
        "positions": how.positions,
        "answers": spec.answers,
        "max_new_tokens": spec.max_new_tokens,
        "suite": spec.suite,
        "prompts": len(texts[spec.suite]),
    }
    extra = {"adapter": spec.adapter, "category": spec.category, "model": spec.model if spec.model != "m1" else ""}
    extra["method"] = spec.method if spec.method != BY_CHANGE else ""
    meta |= {name: value for name, value in extra.items() if value}
    found = [
        _contrast(ctx, spec, how, prompts, meta, key, suite, share(tell, i, len(texts)))
        for i, (suite, prompts) in enumerate(texts.items())
    ]
    if spec.method == "contrast":
        return found[0]
    from explorer.studies.effect_size import effect_size
    from explorer.studies.training_free import activation_variance, prompt_difference

    if spec.method == "effect_size":
        return effect_size(found[0], meta)
    if spec.method == "activation_variance":
        return activation_variance(found[0], meta, spec.model)
    return prompt_difference(found[0], found[1], meta | {"against": spec.against}, spec.model)


def _contrast(
    ctx: Build,
    spec: RankingSpec,
    how: tasks.Contrasting,
    prompts: list[str],
    meta: dict[str, Any],
    key: str,
    suite: str,
    tell: Tell,
) -> Ranking:
    from explorer.engine.contrast import scores_of
    from explorer.engine.sane import check_sums
    from explorer.engine.sums import Sums

    parts = ctx.compute(
        f"ranking-{spec.name}", key, tasks.contrast, how, chunks(prompts, CHUNK), tell, digest(suite)[:8]
    )
    label = f"{ctx.pair_name}: {how.positions} positions of {how.answers.upper()}'s answers"
    sums = Sums.total(parts)
    if spec.method not in ONE_MODEL and not spec.adapter.startswith(STEP):  # a training may begin at M1 itself
        check_sums(sums, ctx.config.dtype)
    return scores_of(sums, label, meta, spec.exclude_layers)


def _attribute(ctx: Build, spec: RankingSpec, prompts: list[str], key: str, tell: Tell) -> Ranking:
    from explorer.engine.attribution import AttributionSums, attributions_of

    how = spec.attributing()
    shared = tasks.Attribution(spec.adapter or "m2", vars(how))
    parts = ctx.compute(f"ranking-{spec.name}", key, tasks.attribute, shared, chunks(prompts, CHUNK), tell)
    meta: dict[str, Any] = {"method": spec.method, "suite": spec.suite, "prompts": len(prompts), "positions": "all"}
    meta |= {name: value for name, value in (("adapter", spec.adapter), ("category", spec.category)) if value}
    sums = AttributionSums.total(parts)
    return attributions_of(sums, how, ctx.pair_name, meta, spec.exclude_layers).by(spec.end)


def _write(ctx: Build, spec: RankingSpec, changes: Ranking) -> dict[str, Any]:
    if spec.keep:
        return ctx.writer.change_scores(spec.name, changes)
    arrays, about = changes.to_parts()
    ctx.writer.tensors(spec.name, arrays, HIDDEN)
    return about
