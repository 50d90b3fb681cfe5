"""Build a run from a configuration: rank, answer, score, study, inspect, publish.

build(read_build_config("configs/build/demo.toml"))
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import explorer
from explorer.digests import digest
from explorer.paths import runs_folder
from explorer.pipeline import tasks
from explorer.pipeline.answers import answer_stages
from explorer.pipeline.build_config import BuildConfig
from explorer.pipeline.context import BuildContext, load_context
from explorer.pipeline.engine import LocalEngine, make_engine
from explorer.pipeline.rankings import ranking_stages
from explorer.pipeline.scorers import public_name
from explorer.pipeline.stages import is_done, run_stage
from explorer.pipeline.status import Clock, Status, duration
from explorer.pipeline.studies import study_stages
from explorer.progress import NamedProgress
from explorer.runs.format import TABLES, TENSORS
from explorer.studies import STUDIES
from explorer.studies.planning import Stage

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "safetensors",
)

MEASURED_PROMPTS, MEASURED_SETS, MEASURED_TOKENS = 8, 4, 16
"""What `--plan` answers to see how fast this pair is on this machine."""


def work_folder(config: BuildConfig) -> Path:
    """Where a build keeps what it has computed so far."""
    return runs_folder() / f".build-{config.name}"


def build(
    config: BuildConfig,
    *,
    resume: bool = True,
    progress: NamedProgress | None = None,
    watch: Callable[[Status], None] | None = None,
    engine: str = "local",
    workers: int = 0,
    address: str = "",
    device: str | None = None,
) -> Path:
    """Compute every stage that is not there yet and publish the run.

    Args:
        config: what to build.
        resume: use what an earlier build left; else start over.
        progress: called with a stage's name and the share of it that is done.
        watch: called with the state of the whole build.
        engine: "local" or "ray"; both give the same tables.
        workers, address: of Ray, see `engine.make_engine`.
        device: where the models lie, see `load_pair`; the pair file's own when left out.

    Returns:
        The run's folder.

    Raises:
        ExplorerError: a setting, a model or a prompt suite is not usable. What was computed stays.
    """
    work = work_folder(config)
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    ctx = load_context(config, work, lambda spec, models: make_engine(engine, spec, models, workers, address), device)
    try:
        ctx.keep_date()
        stages = plan(ctx)
        clock = Clock(stages, [is_done(stage, work) for stage in stages])
        ctx.kept = clock.kept

        def tell(stage: str, share: float) -> None:
            if progress:
                progress(stage, share)
            if watch:
                watch(clock.tell(stage, share))

        results = {stage.name: run_stage(stage, work, tell) for stage in stages}
    finally:
        ctx.engine.close()
    target = runs_folder() / config.name
    files = {o for stage in stages for o in stage.outputs if o.startswith((TABLES, TENSORS))}
    ctx.writer.publish(_manifest(ctx, results), target, files)
    return target


def plan(ctx: BuildContext) -> list[Stage]:
    """All stages of a build, each after those whose outputs it reads."""
    basis = ctx.noted([*ranking_stages(ctx), *answer_stages(ctx)])
    return [*basis, *study_stages(ctx), _shape(ctx)]


def _shape(ctx: BuildContext) -> Stage:
    """What the models are like, for the manifest."""
    return Stage("shape", {"models": ctx.models_key()}, lambda _tell: ctx.once(tasks.shape, None), ())


def print_plan(config: BuildConfig, device: str | None = None) -> None:
    """Print every stage, whether it is done, and about how many tokens its models read and write, and how long that
    takes with this pair on this machine, by a few answers."""
    work = work_folder(config)
    ctx = load_context(config, work, lambda _spec, models: LocalEngine(models), device)
    stages = plan(ctx)
    for stage in stages:
        print(f"{stage.name:40} {stage.tokens:12,.0f} tokens{'  done' if is_done(stage, work) else ''}")
    left = sum(stage.tokens for stage in stages if not is_done(stage, work))
    print(f"{'to do':40} {left:12,.0f} tokens{_time_of(left, ctx) if left else ''}")


def _time_of(tokens: float, ctx: BuildContext) -> str:
    """How long so many tokens take, in words; "" for models that write no answers to be timed by."""
    pair = ctx.models.pair()
    if pair.kind == "encoder":
        return ""
    speed = _speed(ctx)
    return (
        f": about {duration(tokens / speed)} at {speed:,.0f} tokens a second, measured on "
        f"{' and '.join(pair.devices)} with one worker"
    )


def _speed(ctx: BuildContext) -> float:
    """How many tokens a second pass through the models, by answers to a few prompts."""
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import sweep
    from explorer.neurons.sets import NeuronSet

    pair = ctx.models.pair()
    suite = ctx.config.headline or ctx.config.answers[0].suite if ctx.config.answers else "redteam_eval"
    prompts = [p.prompt for p in ctx.prompts(suite, MEASURED_PROMPTS)]
    sets = [NeuronSet.random(pair, max(1, pair.total_neurons // 100), seed) for seed in range(MEASURED_SETS)]
    sweep(pair, prompts[:1], Columns(sets), Decoding(2))  # weights are brought into their form at the first
    start = time.perf_counter()
    sweep(pair, prompts, Columns(sets), Decoding(MEASURED_TOKENS))
    took = time.perf_counter() - start
    return ctx.estimate(prompts, 2 + 2 * MEASURED_SETS, MEASURED_TOKENS) / took


def _manifest(ctx: BuildContext, results: dict[str, Any]) -> dict[str, Any]:
    from datetime import UTC, datetime

    from explorer.scoring.scorers import describe

    config = ctx.config
    models = ctx.models_key("m1", "m2", *(a.name for a in config.adapters))
    kept = [r.name for r in config.rankings if r.keep]
    kept.sort(key=lambda name: name != config.main_ranking)  # the main one first
    return {
        "name": config.name,
        "title": config.title,
        "description": config.description,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "explorer_version": explorer.__version__,
        "pair": {
            "name": ctx.models.spec.pair.name,
            "file": config.pair if not Path(config.pair).is_absolute() else Path(config.pair).name,
            "dtype": config.dtype,
            **results["shape"],
            "m1": models["m1"],
            "m2": models["m2"],
        },
        "adapters": {a.name: {"label": a.label, **models[a.name]} for a in config.adapters},
        "decoding": {"greedy": True, "max_new_tokens": config.max_new_tokens},
        "scorers": {public_name(name): describe(name) for name in config.scorers},
        "score_columns": {column: public_name(name) for column, name in config.scorer_columns.items()},
        "suites": {
            name: {
                "n": len(prompts),
                "sha256": digest([p.prompt for p in prompts]),
                "description": next((s.label for s in config.suites if s.name == name), ""),
            }
            for name, prompts in sorted(ctx.suites.items())
        },
        "headline": config.headline,
        "ranking": kept[0] if kept else "",
        "answers": [asdict(spec) for spec in config.answers],
        **{what: said for name, study in STUDIES.items() for what, said in study.about(config.asked(name)).items()},
        "seeds": {
            "random_controls": sorted({s for a in config.answers for s in a.random_seeds}),
            "bootstrap": 0,
        },
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "rankings": {name: results[f"ranking-{name}"] for name in kept},
    }
