"""Stages of the studies that write answers: tax, ablation, training-free identification; transfer has its own file."""

from typing import Any

import numpy as np
import pandas as pd

from explorer.data.suites_io import Prompt
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.pipeline import tasks
from explorer.pipeline.context import Context, share, table_file
from explorer.pipeline.engine import Task
from explorer.pipeline.joined import Part, answering_inputs, joined, with_method
from explorer.pipeline.specs import AblationSpec, IdentificationSpec, TaxSpec
from explorer.pipeline.stages import Stage, Tell, read_json, write_json
from explorer.pipeline.transfer_studies import plain_of

# -- tax -----------------------------------------------------------------------------------------


def tax(ctx: Context) -> list[Stage]:
    """One stage for each pair of aligned models, and one that puts their rows together."""
    pairs = [(spec, a, b) for spec in ctx.config.tax for a, b in spec.pairs]
    if not pairs:
        return []
    names: list[str] = []
    for _, a, b in pairs:  # a pair may stand in two tables, with sets of another size
        known = sum(name.split(" ")[0] == f"tax-{a}-{b}" for name in names)
        names.append(f"tax-{a}-{b}" + (f" {known + 1}" if known else ""))
    stages = [_tax_pair(ctx, name, *pair) for name, pair in zip(names, pairs, strict=True)]
    inputs = {stage.name: stage.key for stage in stages}

    def run(_tell: Tell) -> None:
        from explorer.studies.effect import with_holm
        from explorer.studies.tax import shared_table

        rows, shared = [], []
        for stage, (spec, a, b) in zip(stages, pairs, strict=True):
            method = ctx.config.method_of(a, b)
            rows.append(with_method(pd.DataFrame(read_json(ctx.work / stage.outputs[0])), method))
            found = shared_table((a, b), ctx.ranking(a), ctx.ranking(b), spec.fraction)
            shared.append(with_method(found, method))
        ctx.writer.table("tax", with_holm(pd.concat(rows, ignore_index=True), ["p"], by="method"))
        ctx.writer.table("shared_neurons", pd.concat(shared, ignore_index=True))

    return [*stages, Stage("tax", inputs, run, (table_file("tax"), table_file("shared_neurons")))]


def _tax_pair(ctx: Context, name: str, spec: TaxSpec, a: str, b: str) -> Stage:
    prompts = {suite: ctx.prompts(suite, spec.limit) for suite in spec.suites}
    file = f"answers/{name}.json"
    models = (ctx.config.model_of(a), ctx.config.model_of(b))

    def run(tell: Tell) -> None:
        from explorer.studies.tax import shared_set, tax_rows

        shared = shared_set(ctx.ranking(a), ctx.ranking(b), spec.fraction)
        sets = {"shared": shared}
        if spec.random_seed >= 0 and len(shared):
            sets["random"] = NeuronSet.random_like(shared, seed=spec.random_seed)
        rows = []
        for i, (suite, asked) in enumerate(prompts.items()):
            for j, (into, out_of) in enumerate(((a, b), (b, a))):
                first, second = models if j == 0 else models[::-1]
                how = ctx.patching(sets=tuple(sets.values()), first=first, second=second, aligned=False)
                tell_part = share(tell, 2 * i + j, 2 * len(prompts))
                frame = ctx.answer(name, stage.key, how, asked, tell_part, f"{suite}-{j}")
                before = frame[frame["condition"] == -1]
                for number, (kind, ns) in enumerate(sets.items()):
                    after = frame[frame["condition"] == number]
                    cells: dict[str, Any] = {"a": a, "b": b, "into": into, "activations_of": out_of, "set": kind}
                    cells |= {"suite": suite, "fraction": spec.fraction, "k": len(ns)}
                    rows += tax_rows(cells, before, after, ctx.score_columns, ctx.config.max_new_tokens)
        write_json(ctx.work / file, rows)

    rows_a_prompt = 2 * (1 + 2 * (1 + (spec.random_seed >= 0)))
    tokens = sum(ctx.estimate(ps, rows_a_prompt, ctx.config.max_new_tokens) for ps in prompts.values())
    stage = Stage(name, answering_inputs(ctx, spec, [a, b], prompts), run, (file,), tokens)
    return stage


# -- ablation ------------------------------------------------------------------------------------


def ablation(ctx: Context) -> list[Stage]:
    """Shared and specific neurons: activations of both aligned models put into M1, and held at constants in A."""
    from explorer.studies.effect import with_holm

    parts = [_ablation(ctx, spec) for spec in ctx.config.ablation]
    return joined(ctx, "ablation", parts, ("ablation",), lambda table: with_holm(table, ["p"], by="method"))


def _ablation(ctx: Context, spec: AblationSpec) -> Part:
    prompts = {suite: ctx.prompts(suite, spec.limit) for suite in spec.suites}
    rankings = [spec.a, spec.b, *([spec.means] if spec.means else [])]

    def run(key: str, mark: str, tell: Tell) -> dict[str, pd.DataFrame]:
        rows = []
        for i, (suite, asked) in enumerate(prompts.items()):
            rows += _ablated(ctx, spec, key, suite, mark + suite, asked, share(tell, i, len(prompts)))
        return {"ablation": with_method(pd.DataFrame(rows), ctx.config.method_of(spec.a, spec.b))}

    tokens = sum(ctx.estimate(ps, 21, ctx.config.max_new_tokens) for ps in prompts.values())
    return Part(answering_inputs(ctx, spec, rankings, prompts), tokens, run)


def _ablated(
    ctx: Context, spec: AblationSpec, key: str, suite: str, name: str, prompts: list[Prompt], tell: Tell
) -> list[dict[str, Any]]:
    from explorer.studies.ablation import parts_of
    from explorer.studies.tax import tax_rows

    a, b = ctx.ranking(spec.a), ctx.ranking(spec.b)
    sets = {kind: ns for kind, ns in parts_of(a, b, spec.fraction).items() if len(ns)}
    model_a, model_b = ctx.config.model_of(spec.a), ctx.config.model_of(spec.b)
    tokens = ctx.config.max_new_tokens
    kept, zero = tuple(sets.values()), (None,) * len(sets)
    plans: list[tuple[str, str, Task, Any]] = [
        ("m1", f"activations of {spec.a}", tasks.answer, ctx.patching(sets=kept, second=model_a, aligned=False)),
        ("m1", f"activations of {spec.b}", tasks.answer, ctx.patching(sets=kept, second=model_b, aligned=False)),
        (spec.a, "zero", tasks.answer_fixed, tasks.Fixing(tokens=tokens, model=model_a, sets=kept, values=zero)),
    ]
    means = _means(ctx.ranking(spec.means) if spec.means else a, kept)
    if means is not None:
        fixing = tasks.Fixing(tokens=tokens, model=model_a, sets=kept, values=means)
        plans.append((spec.a, "mean", tasks.answer_fixed, fixing))
    plain = ctx.patching(first=model_a, second=model_a, aligned=False)
    before = {spec.a: ctx.answer("ablation", key, plain, prompts, share(tell, 0, 5), f"{name}-plain")}
    rows = []
    for number, (into, what, task, how) in enumerate(plans):
        frame = ctx.answer("ablation", key, how, prompts, share(tell, number + 1, 5), f"{name}-{number}", task)
        before.setdefault(into, frame[frame["condition"] == -1])
        for condition, (kind, ns) in enumerate(sets.items()):
            cells: dict[str, Any] = {"a": spec.a, "b": spec.b, "suite": suite, "into": into, "set": kind, "value": what}
            cells |= {"fraction": spec.fraction, "k": len(ns)}
            after = frame[frame["condition"] == condition]
            rows += tax_rows(cells, before[into], after, ctx.score_columns, ctx.config.max_new_tokens)
    return rows


def _means(ranking: Ranking, sets: tuple[NeuronSet, ...]) -> tuple[np.ndarray, ...] | None:
    """M1's mean activations of each set; None where the ranking does not know them."""
    from explorer.studies.ablation import means_at

    means = tuple(means_at(ranking, ns) for ns in sets)
    return means if all(np.isfinite(values).all() for values in means) else None


# -- training-free identification ----------------------------------------------------------------


def identification(ctx: Context) -> list[Stage]:
    """Rankings without an aligned model, beside one that has one: likeness, and what patching their neurons does."""
    parts = [_identification(ctx, spec) for spec in ctx.config.identification]
    return joined(ctx, "identification", parts, ("identification",))


def _identification(ctx: Context, spec: IdentificationSpec) -> Part:
    prompts = ctx.prompts(spec.suite, min(spec.limit, ctx.plain_spec(spec.suite).limit))
    names = [spec.reference, *spec.rankings]
    inputs = answering_inputs(ctx, spec, names, {spec.suite: prompts})
    inputs["answers"] = ctx.plain_keys([spec.suite])[0]

    def run(key: str, mark: str, tell: Tell) -> dict[str, pd.DataFrame]:
        found = _identify(ctx, spec, key, mark, prompts, tell)
        found.insert(0, "reference", spec.reference)
        return {"identification": with_method(found, ctx.config.method_of(spec.reference))}

    rows = 2 * len(names) * len(spec.fractions)
    return Part(inputs, ctx.estimate(prompts, rows, ctx.config.max_new_tokens), run)


def _identify(
    ctx: Context, spec: IdentificationSpec, key: str, mark: str, prompts: list[Prompt], tell: Tell
) -> pd.DataFrame:
    from explorer.studies.effect import compare
    from explorer.studies.training_free import identification_table

    names = [spec.reference, *spec.rankings]
    rankings = {name: ctx.ranking(name) for name in names}
    wanted = [(name, fraction) for name in names for fraction in spec.fractions]
    how = ctx.patching(
        sets=tuple(rankings[name].top(fraction=fraction) for name, fraction in wanted), unpatched=False, aligned=False
    )
    frame = ctx.answer("identification", key, how, prompts, tell, mark.strip())
    base = plain_of(ctx.plain_answers(spec.suite))
    effects = []
    for condition, (name, fraction) in enumerate(wanted):
        part = frame[frame["condition"] == condition]
        cells: dict[str, Any] = {"ranking": name, "fraction": fraction, "suite": spec.suite, "n": len(part)}
        cells["max_new_tokens"] = ctx.config.max_new_tokens
        for score in ctx.score_columns:
            cells |= compare(part, base, score)
        effects.append(cells)
    return identification_table(rankings[spec.reference], rankings, spec.fractions, pd.DataFrame(effects))
