"""Stages that answer prompt suites, patched and not; tables of the causal effect and phrases are made from them."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from explorer.neurons.sets import NeuronSet
from explorer.pipeline import tasks
from explorer.pipeline.context import Context, table_file
from explorer.pipeline.specs import AnswerSpec
from explorer.pipeline.stages import Stage, Tell, digest, write_json
from explorer.runs.format import TENSORS
from explorer.studies import statistics

PLAIN = {"set": "", "seed": -1, "fraction": float("nan"), "start": 0.0}
"""The cells of answers that nothing is patched in."""


def answer_stages(ctx: Context) -> list[Stage]:
    """One stage for each suite under [[answers]], one for the tables, and one for the phrases."""
    stages = [_answers(ctx, spec) for spec in ctx.config.answers]
    return [*stages, _tables(ctx), _phrases(ctx)] if stages else []


def sets_of(ctx: Context, spec: AnswerSpec) -> list[tuple[dict[str, Any], NeuronSet]]:
    """The sets to patch, each with its cells in the answers table."""
    changes = ctx.ranking(spec.ranking)
    sets: list[tuple[dict[str, Any], NeuronSet]] = []

    def add(kind: str, ns: NeuronSet, fraction: float, seed: int = -1, start: float = 0.0) -> None:
        sets.append(({"set": kind, "seed": seed, "fraction": fraction, "start": start}, ns))

    for fraction in spec.fractions:
        safety = changes.top(fraction=fraction)
        add("safety", safety, fraction)
        if spec.random_fractions and fraction not in spec.random_fractions:
            continue
        for seed in spec.anywhere_seeds:
            add("anywhere", NeuronSet.random(changes, len(safety), seed), fraction, seed)
        if 2 * int(safety.per_layer().max(initial=0)) > safety.n_neurons:
            continue  # more than half of a layer is chosen: no disjoint control exists
        for seed in spec.random_seeds:
            add("random", NeuronSet.random_like(safety, seed=seed), fraction, seed)
    if spec.last_layer:
        last = NeuronSet.layer(changes)
        add("last_layer", last, last.fraction)
    total = changes.scores.size
    for start, size in spec.windows:
        add("window", changes.window(round(start * total), round(size * total)), size, start=start)
    return sets


def _count_sets(spec: AnswerSpec) -> int:
    """About how many sets are patched, for the estimate of the time left (all neurons cost nothing)."""
    controlled = spec.random_fractions or spec.fractions
    some = [f for f in spec.fractions if f < 1]
    controls = len([f for f in some if f in controlled]) * (len(spec.random_seeds) + len(spec.anywhere_seeds))
    return len(some) + controls + spec.last_layer + len(spec.windows)


def _answers(ctx: Context, spec: AnswerSpec) -> Stage:
    prompts = ctx.prompts(spec.suite, spec.limit)
    inputs = {
        "models": ctx.models_key(),
        "options": asdict(spec),
        "tokens": ctx.config.max_new_tokens,
        "scorers": ctx.scorer_keys(),
        "prompts": digest([p.prompt for p in prompts]),
        "withheld": ctx.is_withheld(prompts[0]),
        "ranking": ctx.key_of(f"ranking-{spec.ranking}"),
    }
    name = f"answers-{spec.suite}"

    def run(tell: Tell) -> None:
        sets = sets_of(ctx, spec)
        how = ctx.patching(sets=tuple(ns for _, ns in sets))
        frame = ctx.answer(name, stage.key, how, prompts, tell)
        columns: dict[int, tuple[str, dict[str, Any]]] = {-1: ("unpatched", PLAIN), -2: ("aligned", PLAIN)}
        for number, (cells, _) in enumerate(sets):
            columns[number] = ("patched", cells)
        rows = []
        for row in frame.to_dict("records"):
            column, cells = columns[int(row.pop("condition"))]
            whole: dict[str, Any] = {"suite": spec.suite, "column": column}
            rows.append(whole | cells | dict(row))
        write_json(ctx.work / "answers" / f"{spec.suite}.json", rows)

    tokens = ctx.estimate(prompts, 2 + 2 * _count_sets(spec), ctx.config.max_new_tokens)
    stage = Stage(name, inputs, run, (f"answers/{spec.suite}.json",), tokens)
    ctx.set_key(name, stage.key)
    return stage


def _tables(ctx: Context) -> Stage:
    def run(_tell: Tell) -> None:
        from explorer.studies import effect
        from explorer.studies.judges import judge_table

        answers = _all_answers(ctx)
        tokens, scores = ctx.config.max_new_tokens, ctx.score_columns
        total = ctx.ranking(ctx.config.answers[0].ranking).scores.size
        ctx.writer.table("answers", answers)
        ctx.writer.table("models", effect.model_table(answers, tokens, scores))
        ctx.writer.table("effect", effect.effect_table(answers, tokens, total, scores))
        ctx.writer.table("restoring", effect.restoring_table(answers, tokens, scores))
        ctx.writer.table("judges", judge_table(answers))

    names = ("answers", "models", "effect", "restoring", "judges")
    inputs = {**_answer_keys(ctx), "statistics": statistics.VERSION}
    return Stage("tables", inputs, run, tuple(map(table_file, names)))


def _phrases(ctx: Context) -> Stage:
    """What the Patch lab guesses from, see `explorer.neurons.phrases`."""

    def run(_tell: Tell) -> None:
        texts = _all_answers(ctx)["answer"].unique().tolist()
        ctx.writer.tensors("phrases", ctx.once(tasks.read_phrases, texts))

    return Stage("phrases", _answer_keys(ctx), run, (f"{TENSORS}/phrases.safetensors",))


def _answer_keys(ctx: Context) -> dict[str, str]:
    return {spec.suite: ctx.key_of(f"answers-{spec.suite}") for spec in ctx.config.answers}


def _all_answers(ctx: Context) -> pd.DataFrame:
    return pd.concat([ctx.answers(spec.suite) for spec in ctx.config.answers], ignore_index=True)
