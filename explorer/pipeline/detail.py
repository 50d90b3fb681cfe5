"""Stages that keep the top neurons' detail, and the shape of the models."""

from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import pandas as pd

from explorer.neurons.sets import NeuronSet
from explorer.pipeline import tasks
from explorer.pipeline.context import Context, table_file
from explorer.pipeline.specs import options
from explorer.pipeline.stages import Stage, Tell
from explorer.runs.format import TENSORS


def detail_stages(ctx: Context) -> list[Stage]:
    """The vocabulary projection, activations over words, and what the models are."""
    return [_projection(ctx), _words(ctx), _shape(ctx)]


def _top(ctx: Context) -> NeuronSet:
    """The top neurons of the detail's ranking, then those of the others that are not among them."""
    tops = []
    for name in (ctx.config.detail.ranking, *ctx.config.detail.beside):
        ranking = ctx.ranking(name)
        tops.append(ranking.top(min(ctx.config.detail.neurons, len(ranking.order))))
    return reduce(or_, tops)


def _inputs(ctx: Context) -> dict[str, Any]:
    detail = ctx.config.detail
    return {
        "models": ctx.models_key(),
        "detail": options(detail),
        "ranking": ctx.key_of(f"ranking-{detail.ranking}"),
        **({"beside": [ctx.key_of(f"ranking-{name}") for name in detail.beside]} if detail.beside else {}),
    }


def _projection(ctx: Context) -> Stage:
    def run(_tell: Tell) -> None:
        ctx.writer.table("projection", ctx.once(tasks.project_top, (_top(ctx), ctx.config.detail.tokens)))

    return Stage("projection", _inputs(ctx), run, (table_file("projection"),))


def _words(ctx: Context) -> Stage:
    detail, tokens = ctx.config.detail, ctx.config.max_new_tokens
    chosen = [(s, p) for s in detail.suites for p in ctx.prompts(s, detail.texts_per_suite)]
    inputs = {**_inputs(ctx), "prompts": [p.prompt for _, p in chosen], "tokens": tokens}

    def run(tell: Tell) -> None:
        top = _top(ctx)
        seen = []
        for number, (suite, prompt) in enumerate(chosen):
            read = ctx.once(tasks.read_text, (prompt.prompt, top, tokens))
            words = read.words.assign(text=number, suite=suite, prompt_id=prompt.id)
            seen.append((words, read.m1, read.m2))
            tell((number + 1) / len(chosen))
        ctx.writer.table("words", pd.concat([words for words, _, _ in seen], ignore_index=True))
        ctx.writer.tensors(
            "words",
            {
                "layers": top.layers,
                "neurons": top.neurons,
                "m1": np.concatenate([m1 for _, m1, _ in seen], axis=1).astype(np.float16),
                "m2": np.concatenate([m2 for _, _, m2 in seen], axis=1).astype(np.float16),
            },
        )

    tokens_read = ctx.estimate([p for _, p in chosen], 3, tokens)
    return Stage("words", inputs, run, (table_file("words"), f"{TENSORS}/words.safetensors"), tokens_read)


def _shape(ctx: Context) -> Stage:
    def run(_tell: Tell) -> dict[str, Any]:
        return ctx.once(tasks.shape, None)

    return Stage("shape", {"models": ctx.models_key()}, run, ())
