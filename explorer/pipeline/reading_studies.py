"""Stages of the studies that let the models read: the safeguard, and general capability."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from explorer.data.suites_io import Prompt
from explorer.neurons.sets import NeuronSet
from explorer.paths import fill_path
from explorer.pipeline import tasks
from explorer.pipeline.context import CHUNK, Context, share
from explorer.pipeline.joined import Part, joined, with_method
from explorer.pipeline.parts import chunks
from explorer.pipeline.specs import CapabilitySpec, SafeguardSpec, options
from explorer.pipeline.stages import Stage, Tell, digest
from explorer.runs.format import TENSORS


def safeguard(ctx: Context) -> list[Stage]:
    """Harm predicted from the last prompt token; labels are the costs of M1's answers under [[answers]].

    The run keeps one classifier, that of the first table.
    """
    if "cost" not in ctx.config.scorer_columns:
        return []
    parts = [_safeguard_part(ctx, spec, number == 0) for number, spec in enumerate(ctx.config.safeguard)]
    return joined(ctx, "safeguard", parts, ("safeguard",), also=(f"{TENSORS}/safeguard.safetensors",))


def _safeguard_part(ctx: Context, spec: SafeguardSpec, keeps: bool) -> Part:
    inputs = {
        "options": options(spec),
        "models": ctx.models_key("m1"),
        "ranking": ctx.key_of(f"ranking-{spec.ranking}"),
        "answers": ctx.plain_keys(spec.suites),
    }
    prompts = {suite: ctx.prompts(suite, spec.limit) for suite in spec.suites}

    def run(key: str, mark: str, tell: Tell) -> dict[str, pd.DataFrame]:
        found, classifier = _safeguard(ctx, spec, key, mark, prompts, tell)
        if keeps:
            ctx.writer.tensors("safeguard", classifier)
        return {"safeguard": _of_ranking(ctx, spec.ranking, found)}

    return Part(inputs, sum(ctx.estimate(ps, 1, 0) for ps in prompts.values()), run)


def _of_ranking(ctx: Context, ranking: str, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of one part, which begin with the ranking that it read, and how that was computed."""
    table.insert(0, "ranking", ranking)
    return with_method(table, ctx.config.method_of(ranking))


def _safeguard(
    ctx: Context, spec: SafeguardSpec, key: str, mark: str, prompts: dict[str, list[Prompt]], tell: Tell
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The rows, and the arrays of the classifier on the main size's neurons, trained on all suites."""
    from explorer.studies.safeguard import Samples, fit, matrix_rows, merged

    ranking = ctx.ranking(spec.ranking)
    sizes = [k for k in spec.sizes if 2 * int(ranking.top(k).per_layer().max()) <= ranking.n_neurons]
    kinds = [("safety", -1, ranking.top(k)) for k in sizes]
    kinds += [("random", s, NeuronSet.random_like(ns, seed=s)) for _, _, ns in kinds[:] for s in spec.random_seeds]
    every = np.unique(np.concatenate([ns.flat() for _, _, ns in kinds]))
    read = NeuronSet.from_flat(every, ranking, "what any classifier reads")
    samples = {}
    for i, (suite, asked) in enumerate(prompts.items()):
        answers = ctx.plain_answers(suite)
        cost = answers[answers["column"] == "unpatched"].set_index("prompt_id")["cost"]
        asked = [p for p in asked if p.id in cost.index]
        texts = chunks([p.prompt for p in asked], CHUNK)
        parts = ctx.compute("safeguard", key, tasks.read_last, read, texts, share(tell, i, len(prompts)), mark + suite)
        activations = np.concatenate([part["activations"] for part in parts])
        samples[suite] = Samples(activations, cost.loc[[p.id for p in asked]].to_numpy(dtype=np.float64))
    rows: list[dict[str, Any]] = []
    for kind, seed, ns in kinds:
        cells = {"neurons": kind, "seed": seed, "k": len(ns)}
        rows += matrix_rows(cells, samples, np.searchsorted(every, ns.flat()))
    main = ranking.top(min(spec.main_size, len(ranking.order)))
    columns = np.searchsorted(every, main.flat())
    known = bool(np.isin(main.flat(), every).all())
    whole = merged(list(samples.values()))
    fitted = fit(Samples(whole.activations[:, columns], whole.cost)) if known else None
    return pd.DataFrame(rows), {
        "layers": main.layers if fitted else main.layers[:0],
        "neurons": main.neurons if fitted else main.neurons[:0],
        "weight": fitted.weight if fitted else np.zeros(0),
        "bias": np.array([fitted.bias if fitted else 0.0]),
        "n": np.array([len(whole.cost)]),
    }


def capability(ctx: Context) -> list[Stage]:
    """WikiText-2, MMLU, TruthfulQA and GSM8K, for M1, patched M1 and M2."""
    return joined(ctx, "capability", [_capability(ctx, spec) for spec in ctx.config.capability], ("capability",))


def _capability(ctx: Context, spec: CapabilitySpec) -> Part:
    from explorer.studies import capability as study

    folder = fill_path(spec.folder, ctx.config.source)
    items = [
        *(study.wikitext(folder, spec.windows, spec.window_tokens) if spec.windows else []),
        *(study.mmlu(folder, spec.mmlu) if spec.mmlu else []),
        *(study.truthfulqa(folder, spec.truthfulqa) if spec.truthfulqa else []),
    ]
    problems = study.gsm8k(folder, spec.gsm8k) if spec.gsm8k else []
    inputs = {
        "options": options(spec),
        "models": ctx.models_key(),
        "ranking": ctx.key_of(f"ranking-{spec.ranking}"),
        "items": digest([[asdict(item) for item in items], problems]),
    }

    def run(key: str, mark: str, tell: Tell) -> dict[str, pd.DataFrame]:
        sets = tuple(ctx.ranking(spec.ranking).top(fraction=f) for f in spec.fractions)
        how, tell_read = tasks.Scoring(sets), share(tell, 0, 2)
        parts = ctx.compute("capability", key, tasks.score_items, how, chunks(items, 4), tell_read, f"{mark}read")
        rows = [row for part in parts for row in part]
        rows += _solutions(ctx, spec, key, mark, sets, problems, share(tell, 1, 2))
        labels = [("M1", 0.0), *(("patched", f) for f in spec.fractions), ("M2", 1.0)]
        found = study.capability_table(pd.DataFrame(rows), labels, study.chance_of(items))
        return {"capability": _of_ranking(ctx, spec.ranking, found)}

    passes = 2 + len(spec.fractions)
    texts = [item.text + option for item in items if item.task == "truthfulqa" for option in item.options]
    tokens = passes * spec.windows * spec.window_tokens + ctx.estimate(texts, passes, 0)
    tokens += ctx.estimate([item.text for item in items if item.task == "mmlu"], passes, 0)
    tokens += ctx.estimate([question for question, _ in problems], 2 * passes - 2, spec.gsm8k_tokens)
    return Part(inputs, tokens, run)


def _solutions(
    ctx: Context,
    spec: CapabilitySpec,
    key: str,
    mark: str,
    sets: tuple[NeuronSet, ...],
    problems: list[tuple[str, str]],
    tell: Tell,
) -> list[dict[str, Any]]:
    """Rows of GSM8K: whether each model's greedy answer ends with the right number."""
    from explorer.studies.capability import solves

    if not problems:
        return []
    prompts = [Prompt(str(i), question) for i, (question, _) in enumerate(problems)]
    how = ctx.patching(sets=sets, tokens=spec.gsm8k_tokens)
    frame = ctx.answer("capability", key, how, prompts, tell, f"{mark}gsm8k", scorers={})
    solution = {str(i): number for i, (_, number) in enumerate(problems)}
    place = {-1: 0, -2: len(sets) + 1} | {i: i + 1 for i in range(len(sets))}
    return [
        {
            "task": "gsm8k",
            "id": row["prompt_id"],
            "condition": place[row["condition"]],
            "value": float(solves(row["answer"], solution[row["prompt_id"]])),
        }
        for row in frame.to_dict("records")
    ]
