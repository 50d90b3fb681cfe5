"""Stages of transfer: neurons found on one suite or harm category, patched while others are answered."""

import pandas as pd

from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet
from explorer.pipeline.context import Context, share
from explorer.pipeline.joined import Part, answering_inputs, joined, with_method
from explorer.pipeline.rankings import ranking_stage
from explorer.pipeline.specs import CategoriesSpec, RankingSpec, TransferSpec
from explorer.pipeline.stages import Stage, Tell

# -- suites --------------------------------------------------------------------------------------


def transfer(ctx: Context) -> list[Stage]:
    """Suite × suite: every source ranking's neurons, patched on every target suite."""
    parts = [_transfer(ctx, spec) for spec in ctx.config.transfer]
    return joined(ctx, "transfer", parts, ("transfer", "transfer_answers"))


def _transfer(ctx: Context, spec: TransferSpec) -> Part:
    prompts = {suite: ctx.prompts(suite, min(spec.limit, ctx.plain_spec(suite).limit)) for suite in spec.targets}
    inputs = answering_inputs(ctx, spec, list(spec.sources), prompts)
    inputs["answers"] = ctx.plain_keys(spec.targets)
    method = ctx.config.method_of(*spec.sources)

    def run(key: str, mark: str, tell: Tell) -> dict[str, pd.DataFrame]:
        own = {_kind_of(ctx.config.ranking(name).suite): name for name in spec.sources}
        rankings = {name: ctx.ranking(name) for name in spec.sources}
        sets = {name: ranking.top(fraction=spec.fraction) for name, ranking in rankings.items()}
        how = ctx.patching(sets=tuple(sets.values()), unpatched=False, aligned=False)
        rows, answers = [], []
        for i, (suite, asked) in enumerate(prompts.items()):
            frame = ctx.answer("transfer", key, how, asked, share(tell, i, len(prompts)), mark + suite)
            frame = frame.assign(source=[spec.sources[c] for c in frame["condition"]], target=suite, kind="suite")
            mine = own.get(_kind_of(suite), "")
            rows += _rows(ctx, "suite", suite, mine, frame, plain_of(ctx.plain_answers(suite)), sets, rankings)
            answers.append(_kept(ctx, frame))
        return {
            "transfer": with_method(pd.DataFrame(rows), method),
            "transfer_answers": with_method(pd.concat(answers, ignore_index=True), method),
        }

    tokens = sum(ctx.estimate(ps, 2 * len(spec.sources), ctx.config.max_new_tokens) for ps in prompts.values())
    return Part(inputs, tokens, run)


def _kind_of(suite: str) -> str:
    """What a suite's prompts are like: the training and the held-out part of one are of one kind."""
    return suite.removesuffix("_train").removesuffix("_eval")


# -- harm categories -----------------------------------------------------------------------------


def categories(ctx: Context) -> list[Stage]:
    """Category × category: neurons found on one kind of harm, patched on another."""
    rankings = [_category_rankings(spec, number) for number, spec in enumerate(ctx.config.categories, 1)]
    before = [ranking_stage(ctx, ranking) for found in rankings for ranking in found.values()]
    parts = [_categories(ctx, spec, found) for spec, found in zip(ctx.config.categories, rankings, strict=True)]
    return [*before, *joined(ctx, "categories", parts, ("categories", "categories_answers"))]


def _categories(ctx: Context, spec: CategoriesSpec, rankings: dict[str, RankingSpec]) -> Part:
    prompts = {c: ctx.prompts(spec.tested_on, spec.limit, c) for c in spec.categories}
    inputs = answering_inputs(ctx, spec, [r.name for r in rankings.values()], prompts)

    def run(key: str, mark: str, tell: Tell) -> dict[str, pd.DataFrame]:
        found = {c: ctx.ranking(r.name) for c, r in rankings.items()}
        sets = {c: changes.top(fraction=spec.fraction) for c, changes in found.items()}
        how = ctx.patching(sets=tuple(sets.values()))
        rows, answers = [], []
        for i, (category, asked) in enumerate(prompts.items()):
            name = mark + rankings[category].name
            frame = ctx.answer("categories", key, how, asked, share(tell, i, len(prompts)), name)
            base = {"unpatched": -1, "aligned": -2}
            plain = {c: frame[frame["condition"] == n].set_index("prompt_id") for c, n in base.items()}
            frame = frame[frame["condition"] >= 0]
            source = [spec.categories[c] for c in frame["condition"]]
            frame = frame.assign(source=source, target=category, kind="category")
            rows += _rows(ctx, "category", category, category, frame, plain, sets, found)
            answers.append(_kept(ctx, frame))
        return {
            "categories": with_method(pd.DataFrame(rows), spec.method),
            "categories_answers": with_method(pd.concat(answers, ignore_index=True), spec.method),
        }

    tokens = sum(ctx.estimate(ps, 2 + 2 * len(spec.categories), ctx.config.max_new_tokens) for ps in prompts.values())
    return Part(inputs, tokens, run)


def _category_rankings(spec: CategoriesSpec, number: int) -> dict[str, RankingSpec]:
    """The ranking of each category of the table of this number, from 1."""
    lead = "of-" if number == 1 else f"of{number}-"
    return {
        category: RankingSpec(
            lead + "".join(c if c.isalnum() else "_" for c in category)[:48],
            spec.found_on,
            spec.ranking_limit,
            max_new_tokens=spec.max_new_tokens,
            category=category,
            method=spec.method,
            steps=spec.steps,
            keep=False,
        )
        for category in spec.categories
    }


# -- both ----------------------------------------------------------------------------------------


def plain_of(answers: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Unpatched and aligned answers by prompt."""
    return {c: answers[answers["column"] == c].set_index("prompt_id") for c in ("unpatched", "aligned")}


def _kept(ctx: Context, frame: pd.DataFrame) -> pd.DataFrame:
    """What the table of answers behind a transfer matrix holds."""
    from explorer.studies.effect import DEGENERATE

    scores = [c for c in frame if c in ctx.score_columns and c != DEGENERATE]
    return frame[["kind", "source", "target", "prompt_id", "prompt", "category", "answer", *scores, "refused"]]


def _rows(
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
