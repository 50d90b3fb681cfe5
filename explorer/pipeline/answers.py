"""Stages that answer prompt suites, patched and not, which studies read; phrases are made from them too."""

from typing import Any

from explorer.digests import digest
from explorer.files import write_json
from explorer.neurons.patch import DIRECTIONS, Patch
from explorer.neurons.sets import NeuronSet
from explorer.pipeline import tasks
from explorer.pipeline.context import BuildContext
from explorer.progress import Progress as Tell
from explorer.runs.format import TENSORS
from explorer.studies.basis import AnswerSpec
from explorer.studies.planning import Stage, options

PLAIN = {"set": "", "seed": -1, "fraction": float("nan"), "start": 0.0}
"""The cells of answers that nothing is patched in."""


def answer_stages(ctx: BuildContext) -> list[Stage]:
    """One stage for each table [[answers]], and one for the phrases."""
    stages = [_answers(ctx, spec) for spec in ctx.config.answers]
    return [*stages, _phrases(ctx)] if stages else []


def sets_of(ctx: BuildContext, spec: AnswerSpec) -> list[tuple[dict[str, Any], NeuronSet]]:
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
        if not safety.leaves_half:
            continue  # more than half of a layer is chosen: no disjoint control exists
        for seed in spec.random_seeds:
            add("random", NeuronSet.random_like(safety, seed=seed), fraction, seed)
    if spec.last_layer:
        last = NeuronSet.layer(changes)
        add("last_layer", last, last.fraction)
    total = changes.total_neurons
    for start, size in spec.windows:
        add("window", changes.window(round(start * total), round(size * total)), size, start=start)
    return sets


def _count_sets(spec: AnswerSpec) -> int:
    """About how many sets are patched, for the estimate of the time left (all neurons cost nothing)."""
    controlled = spec.random_fractions or spec.fractions
    some = [f for f in spec.fractions if f < 1]
    controls = len([f for f in some if f in controlled]) * (len(spec.random_seeds) + len(spec.anywhere_seeds))
    return len(some) + controls + spec.last_layer + len(spec.windows)


def _answers(ctx: BuildContext, spec: AnswerSpec) -> Stage:
    """The answers of one table; unpatched and aligned ones only of the one that writes them for all of its suite and
    direction."""
    plain = ctx.config.plain_answers(spec.suite, spec.direction) is spec
    prompts = ctx.prompts(spec.suite, spec.limit)
    inputs = {
        "models": ctx.models_key(),
        "options": options(spec),
        "tokens": ctx.config.max_new_tokens,
        "scorers": ctx.scorer_keys(),
        "prompts": digest([p.prompt for p in prompts]),
        "withheld": ctx.is_withheld(prompts[0]),
        "ranking": ctx.key_of(f"ranking-{spec.ranking}"),
        **({} if plain else {"plain": False}),
    }
    name, back = f"answers-{spec.key}", spec.direction != DIRECTIONS[0]

    def run(tell: Tell) -> None:
        sets = sets_of(ctx, spec)
        patches = tuple(Patch(ns, spec.strength, spec.positions) for _, ns in sets)
        models = {"first": "m2", "second": "m1"} if back else {}
        how = ctx.patching(sets=patches, unpatched=plain, aligned=plain, **models)
        frame = ctx.answer(how, prompts, tell)
        columns: dict[int, tuple[str, dict[str, Any]]] = {-1: ("unpatched", PLAIN), -2: ("aligned", PLAIN)}
        for number, (cells, _) in enumerate(sets):
            columns[number] = ("patched", cells)
        rows = []
        for row in frame.to_dict("records"):
            column, cells = columns[int(row.pop("condition"))]
            whole: dict[str, Any] = {"suite": spec.suite, "column": column}
            rows.append(whole | cells | dict(row))
        write_json(ctx.work / "answers" / f"{spec.key}.json", rows)

    tokens = ctx.estimate(prompts, 2 * plain + 2 * _count_sets(spec), ctx.config.max_new_tokens)
    stage = Stage(name, inputs, run, (f"answers/{spec.key}.json",), tokens)
    ctx.set_key(name, stage.key)
    return stage


def _phrases(ctx: BuildContext) -> Stage:
    """The draft of the Patch lab's speculative decoding, see `explorer.engine.drafts`."""

    def run(_tell: Tell) -> None:
        texts = [text for spec in ctx.config.answers for text in ctx.answers(spec.key)["answer"]]
        ctx.writer.tensors("phrases", ctx.once(tasks.read_phrases, list(dict.fromkeys(texts))))

    keys = {spec.key: ctx.key_of(f"answers-{spec.key}") for spec in ctx.config.answers}
    return Stage("phrases", keys, run, (f"{TENSORS}/phrases.safetensors",))
