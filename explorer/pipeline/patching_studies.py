"""Stages of the studies that write answers: transfer, tax, ablation, training-free identification."""

from dataclasses import asdict
from typing import Any

import pandas as pd

from explorer.data.suites_io import Prompt
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.pipeline import tasks
from explorer.pipeline.context import Context, share, table_file
from explorer.pipeline.engine import Task
from explorer.pipeline.rankings import ranking_stage
from explorer.pipeline.specs import AblationSpec, CategoriesSpec, IdentificationSpec, RankingSpec, TaxSpec
from explorer.pipeline.stages import Stage, Tell, digest, read_json, write_json


def _inputs(ctx: Context, spec: Any, rankings: list[str], prompts: dict[str, list[Prompt]]) -> dict[str, Any]:
    """What every study of answers depends on."""
    models = [ctx.config.model_of(name) for name in rankings if name in {r.name for r in ctx.config.rankings}]
    return {
        "options": asdict(spec),
        "tokens": ctx.config.max_new_tokens,
        "scorers": ctx.scorer_keys(),
        "models": ctx.models_key("m1", "m2", *models),
        "rankings": [ctx.key_of(f"ranking-{name}") for name in rankings],
        "prompts": digest({name: [p.prompt for p in ps] for name, ps in prompts.items()}),
        "withheld": {name: ctx.is_withheld(ps[0]) for name, ps in prompts.items()},
    }


def _kept(ctx: Context, frame: pd.DataFrame) -> pd.DataFrame:
    """What the table of answers behind a transfer matrix holds."""
    from explorer.studies.effect import DEGENERATE

    scores = [c for c in frame if c in ctx.score_columns and c != DEGENERATE]
    return frame[["kind", "source", "target", "prompt_id", "prompt", "category", "answer", *scores, "refused"]]


def _plain(answers: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Unpatched and aligned answers by prompt."""
    return {c: answers[answers["column"] == c].set_index("prompt_id") for c in ("unpatched", "aligned")}


# -- transfer ------------------------------------------------------------------------------------


def transfer(ctx: Context) -> list[Stage]:
    """Suite × suite: every source ranking's neurons, patched on every target suite."""
    spec = ctx.config.transfer
    if spec is None:
        return []
    prompts = {suite: ctx.prompts(suite, min(spec.limit, _answered(ctx, suite))) for suite in spec.targets}
    inputs = _inputs(ctx, spec, list(spec.sources), prompts)
    inputs["answers"] = [ctx.key_of(f"answers-{suite}") for suite in spec.targets]

    def run(tell: Tell) -> None:
        own = {_kind_of(ctx.config.ranking(name).suite): name for name in spec.sources}
        sets = {name: ctx.ranking(name).top(fraction=spec.fraction) for name in spec.sources}
        how = ctx.patching(sets=tuple(sets.values()), unpatched=False, aligned=False)
        rows, answers = [], []
        for i, (suite, asked) in enumerate(prompts.items()):
            frame = ctx.answer("transfer", stage.key, how, asked, share(tell, i, len(prompts)), suite)
            frame = frame.assign(source=[spec.sources[c] for c in frame["condition"]], target=suite, kind="suite")
            plain = _plain(ctx.answers(suite))
            mine = own.get(_kind_of(suite), "")
            rows += _transfer_rows(ctx, "suite", suite, mine, frame, plain, sets, {n: ctx.ranking(n) for n in sets})
            answers.append(_kept(ctx, frame))
        ctx.writer.table("transfer", pd.DataFrame(rows))
        ctx.writer.table("transfer_answers", pd.concat(answers, ignore_index=True))

    tokens = sum(ctx.estimate(ps, 2 * len(spec.sources), ctx.config.max_new_tokens) for ps in prompts.values())
    stage = Stage("transfer", inputs, run, (table_file("transfer"), table_file("transfer_answers")), tokens)
    return [stage]


def _kind_of(suite: str) -> str:
    """What a suite's prompts are like: the training and the held-out part of one are of one kind."""
    return suite.removesuffix("_train").removesuffix("_eval")


def categories(ctx: Context) -> list[Stage]:
    """Category × category: neurons found on one kind of harm, patched on another."""
    spec = ctx.config.categories
    if spec is None:
        return []
    rankings = {c: _category_ranking(spec, c) for c in spec.categories}
    before = [ranking_stage(ctx, ranking) for ranking in rankings.values()]
    prompts = {c: ctx.prompts(spec.tested_on, spec.limit, c) for c in spec.categories}
    inputs = _inputs(ctx, spec, [r.name for r in rankings.values()], prompts)

    def run(tell: Tell) -> None:
        found = {c: ctx.ranking(r.name) for c, r in rankings.items()}
        sets = {c: changes.top(fraction=spec.fraction) for c, changes in found.items()}
        how = ctx.patching(sets=tuple(sets.values()))
        rows, answers = [], []
        for i, (category, asked) in enumerate(prompts.items()):
            name = rankings[category].name
            frame = ctx.answer("categories", stage.key, how, asked, share(tell, i, len(prompts)), name)
            base = {"unpatched": -1, "aligned": -2}
            plain = {c: frame[frame["condition"] == n].set_index("prompt_id") for c, n in base.items()}
            frame = frame[frame["condition"] >= 0]
            source = [spec.categories[c] for c in frame["condition"]]
            frame = frame.assign(source=source, target=category, kind="category")
            rows += _transfer_rows(ctx, "category", category, category, frame, plain, sets, found)
            answers.append(_kept(ctx, frame))
        ctx.writer.table("categories", pd.DataFrame(rows))
        ctx.writer.table("categories_answers", pd.concat(answers, ignore_index=True))

    tokens = sum(ctx.estimate(ps, 2 + 2 * len(spec.categories), ctx.config.max_new_tokens) for ps in prompts.values())
    stage = Stage("categories", inputs, run, (table_file("categories"), table_file("categories_answers")), tokens)
    return [*before, stage]


def _category_ranking(spec: CategoriesSpec, category: str) -> RankingSpec:
    name = "of-" + "".join(c if c.isalnum() else "_" for c in category)[:48]
    tokens = spec.max_new_tokens
    return RankingSpec(name, spec.found_on, spec.ranking_limit, max_new_tokens=tokens, category=category, keep=False)


def _transfer_rows(
    ctx: Context,
    kind: str,
    target: str,
    own: str,
    frame: pd.DataFrame,
    plain: dict[str, pd.DataFrame],
    sets: dict[str, NeuronSet],
    rankings: dict[str, Ranking],
) -> list[dict]:
    from explorer.studies.transfer import transfer_rows

    tokens = ctx.config.max_new_tokens
    return transfer_rows(kind, target, own, frame, plain, sets, rankings, ctx.score_columns, tokens)


def _answered(ctx: Context, suite: str) -> int:
    """How many prompts of a suite are answered under [[answers]]."""
    return next(a.limit for a in ctx.config.answers if a.key == suite)


# -- tax and ablation ----------------------------------------------------------------------------


def tax(ctx: Context) -> list[Stage]:
    """One stage for each pair of aligned models, and one that puts their rows together."""
    spec = ctx.config.tax
    if spec is None:
        return []
    stages = [_tax_pair(ctx, spec, a, b) for a, b in spec.pairs]
    inputs = {stage.name: stage.key for stage in stages}

    def run(_tell: Tell) -> None:
        from explorer.studies.effect import with_holm
        from explorer.studies.tax import shared_table

        rows = [row for stage in stages for row in read_json(ctx.work / stage.outputs[0])]
        ctx.writer.table("tax", with_holm(pd.DataFrame(rows), ["p"]))
        shared = [shared_table((a, b), ctx.ranking(a), ctx.ranking(b), spec.fraction) for a, b in spec.pairs]
        ctx.writer.table("shared_neurons", pd.concat(shared, ignore_index=True))

    return [*stages, Stage("tax", inputs, run, (table_file("tax"), table_file("shared_neurons")))]


def _tax_pair(ctx: Context, spec: TaxSpec, a: str, b: str) -> Stage:
    prompts = {suite: ctx.prompts(suite, spec.limit) for suite in spec.suites}
    name, file = f"tax-{a}-{b}", f"answers/tax-{a}-{b}.json"
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
    stage = Stage(name, _inputs(ctx, spec, [a, b], prompts), run, (file,), tokens)
    return stage


def ablation(ctx: Context) -> list[Stage]:
    """Shared and specific neurons: activations of both aligned models put into M1, and held at constants in A."""
    spec = ctx.config.ablation
    if spec is None:
        return []
    prompts = {suite: ctx.prompts(suite, spec.limit) for suite in spec.suites}

    def run(tell: Tell) -> None:
        from explorer.studies.effect import with_holm

        rows = []
        for i, (suite, asked) in enumerate(prompts.items()):
            rows += _ablated(ctx, spec, stage.key, suite, asked, share(tell, i, len(prompts)))
        ctx.writer.table("ablation", with_holm(pd.DataFrame(rows), ["p"]))

    tokens = sum(ctx.estimate(ps, 21, ctx.config.max_new_tokens) for ps in prompts.values())
    stage = Stage("ablation", _inputs(ctx, spec, [spec.a, spec.b], prompts), run, (table_file("ablation"),), tokens)
    return [stage]


def _ablated(
    ctx: Context, spec: AblationSpec, key: str, suite: str, prompts: list[Prompt], tell: Tell
) -> list[dict[str, Any]]:
    from explorer.studies.ablation import means_at, parts_of
    from explorer.studies.tax import tax_rows

    a, b = ctx.ranking(spec.a), ctx.ranking(spec.b)
    sets = {name: ns for name, ns in parts_of(a, b, spec.fraction).items() if len(ns)}
    model_a, model_b = ctx.config.model_of(spec.a), ctx.config.model_of(spec.b)
    tokens = ctx.config.max_new_tokens
    kept, zero = tuple(sets.values()), (None,) * len(sets)
    means = tuple(means_at(a, ns) for ns in kept)
    plans: list[tuple[str, str, Task, Any]] = [
        ("m1", f"activations of {spec.a}", tasks.answer, ctx.patching(sets=kept, second=model_a, aligned=False)),
        ("m1", f"activations of {spec.b}", tasks.answer, ctx.patching(sets=kept, second=model_b, aligned=False)),
        (spec.a, "zero", tasks.answer_fixed, tasks.Fixing(tokens=tokens, model=model_a, sets=kept, values=zero)),
        (spec.a, "mean", tasks.answer_fixed, tasks.Fixing(tokens=tokens, model=model_a, sets=kept, values=means)),
    ]
    plain = ctx.patching(first=model_a, second=model_a, aligned=False)
    before = {spec.a: ctx.answer("ablation", key, plain, prompts, share(tell, 0, 5), f"{suite}-plain")}
    rows = []
    for number, (into, what, task, how) in enumerate(plans):
        frame = ctx.answer("ablation", key, how, prompts, share(tell, number + 1, 5), f"{suite}-{number}", task)
        before.setdefault(into, frame[frame["condition"] == -1])
        for condition, (name, ns) in enumerate(sets.items()):
            cells: dict[str, Any] = {"a": spec.a, "b": spec.b, "suite": suite, "into": into, "set": name, "value": what}
            cells |= {"fraction": spec.fraction, "k": len(ns)}
            after = frame[frame["condition"] == condition]
            rows += tax_rows(cells, before[into], after, ctx.score_columns, ctx.config.max_new_tokens)
    return rows


# -- training-free identification ----------------------------------------------------------------


def identification(ctx: Context) -> list[Stage]:
    """Rankings without an aligned model, beside the paper's: likeness, and what patching their neurons does."""
    spec = ctx.config.identification
    if spec is None:
        return []
    prompts = ctx.prompts(spec.suite, min(spec.limit, _answered(ctx, spec.suite)))
    names = [spec.reference, *spec.rankings]
    inputs = _inputs(ctx, spec, names, {spec.suite: prompts}) | {"answers": ctx.key_of(f"answers-{spec.suite}")}

    def run(tell: Tell) -> None:
        _identify(ctx, spec, stage.key, prompts, tell)

    rows = 2 * len(names) * len(spec.fractions)
    tokens = ctx.estimate(prompts, rows, ctx.config.max_new_tokens)
    stage = Stage("identification", inputs, run, (table_file("identification"),), tokens)
    return [stage]


def _identify(ctx: Context, spec: IdentificationSpec, key: str, prompts: list[Prompt], tell: Tell) -> None:
    from explorer.studies.effect import compare
    from explorer.studies.training_free import identification_table

    names = [spec.reference, *spec.rankings]
    rankings = {name: ctx.ranking(name) for name in names}
    wanted = [(name, fraction) for name in names for fraction in spec.fractions]
    how = ctx.patching(
        sets=tuple(rankings[name].top(fraction=fraction) for name, fraction in wanted), unpatched=False, aligned=False
    )
    frame = ctx.answer("identification", key, how, prompts, tell)
    base = _plain(ctx.answers(spec.suite))
    effects = []
    for condition, (name, fraction) in enumerate(wanted):
        part = frame[frame["condition"] == condition]
        cells: dict[str, Any] = {"ranking": name, "fraction": fraction, "suite": spec.suite, "n": len(part)}
        cells["max_new_tokens"] = ctx.config.max_new_tokens
        for score in ctx.score_columns:
            cells |= compare(part, base, score)
        effects.append(cells)
    table = identification_table(rankings[spec.reference], rankings, spec.fractions, pd.DataFrame(effects))
    ctx.writer.table("identification", table)
