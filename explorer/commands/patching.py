"""Commands on neurons: `patch` and `rank`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.commands.common import load, of_direction, pair_of, ranking_of, run_of
from explorer.commands.options import (
    DeviceOption,
    DtypeOption,
    EndOption,
    M1Option,
    M2Option,
    PairOption,
    PairRunOption,
    RankingOption,
    RunOption,
    TokensOption,
)
from explorer.errors import ExplorerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.engine.patching import Answer
    from explorer.models.pair import Pair
    from explorer.serve.samples import Refusals


def patch(
    prompt: Annotated[str, typer.Option(help="What a person would type.")],
    fraction: Annotated[float, typer.Option(help="Patched share of all neurons, 0 to 1 (0.05 is 5 %).")] = 0.05,
    pair: PairOption = "",
    m1: M1Option = "",
    m2: M2Option = "",
    run: PairRunOption = "",
    ranking: RankingOption = "",
    end: EndOption = "",
    direction: Annotated[
        str, typer.Option(help="restore: M2's activations into M1; break: M1's into M2, as unpatched and aligned.")
    ] = "restore",
    strength: Annotated[
        float, typer.Option(help="Strength of the patch, -1 to 2: 1 is M2's activations, 0 M1's own.")
    ] = 1.0,
    positions: Annotated[
        str,
        typer.Option(
            help="Positions that are patched: all, prompt, last_prompt, answer, how many first tokens of the answer, "
            "or prompt[-k], prompt+answer[:k], answer[k:] with a number for k."
        ),
    ] = "all",
    max_new_tokens: TokensOption = 64,
    temperature: Annotated[
        float, typer.Option(help="0: greedy; above, up to 5: tokens are sampled at this temperature.")
    ] = 0.0,
    top_p: Annotated[
        float, typer.Option(help="Only the fewest likeliest tokens with this share of the probability; 1: all.")
    ] = 1.0,
    sampling_seed: Annotated[
        int, typer.Option(help="Seed of the sampling; all three answers get the same random numbers.")
    ] = 0,
    samples: Annotated[int, typer.Option(help="Sampled answers of each model, with the share that refuses.")] = 1,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with token ids.")] = False,
) -> None:
    """Answer a prompt unpatched, patched and aligned, and print the three answers with their costs."""
    from explorer.engine.options import Sampling
    from explorer.models.prompting import check_new_tokens, check_prompt
    from explorer.neurons.patch import DIRECTIONS, Patch
    from explorer.serve.samples import check_samples, decoding_words

    check_prompt(prompt)
    check_new_tokens(max_new_tokens)
    sampling = Sampling(temperature, top_p, sampling_seed)
    if check_samples(samples) > 1 and not temperature:
        raise ExplorerError("Greedy answers are all the same; give a --temperature above 0 for several samples.")
    of_direction("", direction)
    spec = pair_of(pair, m1, m2)
    found = ranking_of(run or run_of(pair, spec), ranking, end)
    what = Patch(found.top(fraction=fraction), strength, positions)
    from explorer import generate

    neurons, loaded = what.neurons, load(spec, dtype, device)
    loaded = loaded if direction == DIRECTIONS[0] else loaded.reversed()
    how: dict[str, Any] = {"strength": what.strength, "positions": what.positions, "sampling": sampling}
    out = generate(loaded, [prompt] * samples, neurons, max_new_tokens, **how)
    answers = {"unpatched": out.unpatched, "patched": out.patched, "aligned": out.aligned}
    scored = {name: _scored(loaded, prompt, its) for name, its in answers.items()}
    result: dict[str, Any] = {
        "prompt": prompt,
        "fraction": fraction,
        "neurons": len(neurons),
        "of": loaded.total_neurons,
        "max_new_tokens": max_new_tokens,
        "direction": direction,
        "strength": what.strength,
        "positions": what.positions,
    }
    if temperature:
        result |= {"temperature": temperature, "top_p": top_p, "sampling_seed": sampling_seed}
    for name, its in scored.items():
        result[name] = its[0] if samples == 1 else _share_of(its) | {"samples": its}
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=2))
        return
    patched = "" if what.is_plain else f" at strength {what.strength:g}, positions {what.positions}"
    into = "" if direction == DIRECTIONS[0] else " with M1's activations into M2 (“unpatched” is M2, “aligned” M1)"
    print(
        f"{len(neurons):,} of {loaded.total_neurons:,} neurons patched ({fraction:.2%}){patched}{into}, "
        f"{f'{decoding_words(sampling, samples)}, ' if temperature else ''}up to {max_new_tokens} tokens"
    )
    for name, its in scored.items():
        if samples > 1:
            print(f"\n{name}: {_refusals(its).words}, 95 % interval (Wilson)")
        for number, one in enumerate(its, 1):
            which = name if samples == 1 else f"{name}, sample {number}"
            refused = "refuses" if one["refused"] else "does not refuse"
            print(f"\n{which}: cost {one['cost']:+.2f} log-odds of harm, {refused}\n{one['text']}")


def _scored(loaded: "Pair", prompt: str, answers: "Sequence[Answer]") -> list[dict[str, Any]]:
    """Answers with their scores, as JSON has them."""
    scores = _scores(loaded, [prompt] * len(answers), [answer.text for answer in answers])
    return [
        {
            "text": answer.text,
            "cost": round(scores["demo-cost"][i], 4),
            "refused": bool(scores["refusal"][i]),
            "token_ids": list(answer.token_ids),
        }
        for i, answer in enumerate(answers)
    ]


def _refusals(answers: "Sequence[dict[str, Any]]") -> "Refusals":
    from explorer.serve.samples import Refusals

    return Refusals(sum(one["refused"] for one in answers), len(answers))


def _share_of(answers: "Sequence[dict[str, Any]]") -> dict[str, Any]:
    """The share of refusals with its interval, as JSON has it."""
    found = _refusals(answers)
    low, high = found.interval
    return {"refusals": {"count": found.count, "of": found.of, "low": round(low, 4), "high": round(high, 4)}}


def rank(
    run: RunOption = "demo",
    ranking: RankingOption = "",
    end: EndOption = "",
    top: Annotated[int, typer.Option(min=1, help="How many neurons to print.")] = 20,
    csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", help="A ranking's file instead of a run: .pt as the paper's authors save it, or .csv."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the whole ranking to this .pt or .csv file instead of printing it.")
    ] = None,
) -> None:
    """Print the first neurons of a ranking, or write all of it to a file.

    Change scores are RMS differences in activation units; attributions are in nats, summed over the prompts.
    """
    from explorer.neurons.artefacts import read_ranking, write_ranking
    from explorer.neurons.scores import Attributions
    from explorer.neurons.tables import neuron_table

    changes = read_ranking(from_file) if from_file is not None else ranking_of(run, ranking, end)
    if export is not None:
        print(f"The ranking of {len(changes.order):,} neurons is in {write_ranking(changes, export)}.")
        return
    table = neuron_table(changes).head(top)
    if isinstance(changes, Attributions):
        table = table.rename(columns={"change_score": "attribution"})
    print(table.to_csv(index=False) if csv else table.to_string(index=False), end="" if csv else "\n")


def _scores(pair: "Pair", prompts: list[str], texts: list[str]) -> dict[str, list[float]]:
    from explorer.scoring.scorers import NAMES, load_scorer

    return {name: [float(x) for x in load_scorer(name, pair).score(prompts, texts)] for name in NAMES}
