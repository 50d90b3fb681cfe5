"""Commands on neurons: `patch` and `rank`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from explorer.models.pair import Pair


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
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with token ids.")] = False,
) -> None:
    """Answer a prompt unpatched, patched and aligned, and print the three answers with their costs."""
    from explorer.models.prompting import check_new_tokens, check_prompt
    from explorer.neurons.patch import DIRECTIONS, Patch

    check_prompt(prompt)
    check_new_tokens(max_new_tokens)
    of_direction("", direction)
    spec = pair_of(pair, m1, m2)
    found = ranking_of(run or run_of(pair, spec), ranking, end)
    what = Patch(found.top(fraction=fraction), strength, positions)
    from explorer import generate

    neurons, loaded = what.neurons, load(spec, dtype, device)
    loaded = loaded if direction == DIRECTIONS[0] else loaded.reversed()
    out = generate(loaded, [prompt], neurons, max_new_tokens, strength=what.strength, positions=what.positions)
    answers = {"unpatched": out.unpatched[0], "patched": out.patched[0], "aligned": out.aligned[0]}
    texts = [answer.text for answer in answers.values()]
    scores = _scores(loaded, [prompt] * 3, texts)
    result = {
        "prompt": prompt,
        "fraction": fraction,
        "neurons": len(neurons),
        "of": loaded.total_neurons,
        "max_new_tokens": max_new_tokens,
        "direction": direction,
        "strength": what.strength,
        "positions": what.positions,
    } | {
        name: {
            "text": answer.text,
            "cost": round(scores["demo-cost"][i], 4),
            "refused": bool(scores["refusal"][i]),
            "token_ids": list(answer.token_ids),
        }
        for i, (name, answer) in enumerate(answers.items())
    }
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=2))
        return
    how = "" if what.is_plain else f" at strength {what.strength:g}, positions {what.positions}"
    into = "" if direction == DIRECTIONS[0] else " with M1's activations into M2 (“unpatched” is M2, “aligned” M1)"
    print(
        f"{len(neurons):,} of {loaded.total_neurons:,} neurons patched ({fraction:.2%}){how}{into}, "
        f"up to {max_new_tokens} tokens"
    )
    for i, (name, answer) in enumerate(answers.items()):
        refused = "refuses" if scores["refusal"][i] else "does not refuse"
        print(f"\n{name}: cost {scores['demo-cost'][i]:+.2f} log-odds of harm, {refused}\n{answer.text}")


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
    from explorer.scoring.registry import NAMES, load_scorer

    return {name: [float(x) for x in load_scorer(name, pair).score(prompts, texts)] for name in NAMES}
