"""Commands that measure a pair: `refusals`, `acceptance` and `preferences`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from explorer.commands.common import bars, load, pair_of
from explorer.commands.options import DeviceOption, DtypeOption, M1Option, M2Option, PairOption, TokensOption


def refusals(
    pair: PairOption = "",
    m1: M1Option = "",
    m2: M2Option = "",
    redteam: Annotated[str, typer.Option(help="Red-team suite: a shipped name or a prompt file.")] = "redteam_eval",
    ordinary: Annotated[str, typer.Option(help="Ordinary suite: a shipped name or a prompt file.")] = "everyday_eval",
    lookalike: Annotated[str, typer.Option(help="Harmless prompts worded like red-team ones.")] = "ordinary_eval",
    limit: Annotated[int, typer.Option(min=1, help="Prompts of each suite.")] = 100,
    hold_out: Annotated[int, typer.Option(min=0, help="Only every so-many-th prompt (training's hold_out).")] = 0,
    max_new_tokens: TokensOption = 48,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """How often M1 and M2 refuse, in greedy answers to red-team and to ordinary prompts never trained on."""
    from explorer.data.suites_io import held_out_part, load_suite
    from explorer.studies.refusals import refusal_rates

    names = (redteam, ordinary, lookalike)
    suites = {name: [p.prompt for p in held_out_part(load_suite(name), hold_out)[:limit]] for name in names}
    loaded = load(pair_of(pair, m1, m2), dtype, device)
    with bars() as progress:
        table = refusal_rates(loaded, suites, max_new_tokens, progress=lambda s, p: progress(f"answers to {s}", p))
    if as_json:
        print(table.to_json(orient="records", indent=2))
        return
    print(f"Share of greedy answers of up to {max_new_tokens} tokens that refuse, with a 95 % interval (Wilson)")
    for row in table.itertuples():
        print(
            f"{row.suite:24} {row.model}  {row.refusal:6.1%}  "
            f"[{row.refusal_low:.1%}, {row.refusal_high:.1%}]  n={row.n}"
        )


def acceptance_command(
    pair: PairOption = "",
    m1: M1Option = "",
    m2: M2Option = "",
    seed: Annotated[
        list[str] | None,
        typer.Option(help="An M2 of the same training with another seed; twice. Left out: the demo's, for the demo."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Prompts of each suite; 0: all.")] = 0,
    tokens: Annotated[int, typer.Option(help="Tokens of an answer that verdicts on refusals read.")] = 48,
    degenerate_tokens: Annotated[int, typer.Option(help="Tokens at which degenerate answers are counted.")] = 64,
    windows: Annotated[int, typer.Option(min=1, help="Stretches of WikiText-2, of 256 tokens.")] = 20,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold M2 and its other seeds against what an aligned model must do; exit code 1 where a criterion is not met.

    Greedy answers to prompts never trained on; public data sets and perplexity are read from $EXPLORER_DATA.
    """
    from explorer.models.pair_file import read_pair_file
    from explorer.studies import acceptance as study
    from explorer.studies.criteria import NOT_MET, as_line, as_row

    settings = study.AcceptanceSettings(tokens, degenerate_tokens, limit or None, windows)
    if seed is None:
        seed = [] if m1 or m2 or pair not in ("", "demo") else ["safety_seed1", "safety_seed2"]
    spec, seeds = pair_of(pair, m1, m2), [read_pair_file(name) for name in seed]
    loaded = load(spec, dtype, device)
    with bars() as progress:
        found = study.acceptance(loaded, seeds, settings, progress)
    if as_json:
        print(json.dumps([as_row(f) for f in found], indent=2))
    else:
        print(
            f"{loaded.spec.name}: greedy answers, refusals by verdict on the first {tokens} tokens, degenerate answers "
            f"and cost at {degenerate_tokens}; 95 % intervals"
        )
        print("\n".join(as_line(f) for f in found))
    if any(f.verdict == NOT_MET for f in found):
        raise typer.Exit(1)


def preferences(
    file: Annotated[Path, typer.Argument(help="Preference pairs (.jsonl) of which some were never trained on.")],
    pair: PairOption = "",
    m1: M1Option = "",
    m2: M2Option = "",
    kind: Annotated[str, typer.Option(help="dialogue (HH-RLHF's form) or solutions (GSM8K's).")] = "dialogue",
    skip: Annotated[int, typer.Option(min=0, help="Leave out the first so many pairs: those trained on.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="Pairs to measure on.")] = 300,
    max_words: Annotated[int, typer.Option(min=1, help="Only dialogues of at most so many words so far.")] = 60,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Answers are read so far, in tokens.")] = 64,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
) -> None:
    """How often M2's implicit reward prefers the answer that people preferred, on held-out pairs."""
    from explorer.data.preferences import load_preferences
    from explorer.studies.preferences import preference_accuracy

    pairs = [p for p in load_preferences(file, kind)[skip:] if sum(len(t.split()) for _, t in p.turns) <= max_words][
        :limit
    ]
    loaded = load(pair_of(pair, m1, m2), dtype, device)
    with bars() as progress:
        row = preference_accuracy(loaded, pairs, answer_tokens, lambda share: progress("pairs", share)).iloc[0]
    print(
        f"implicit-reward accuracy {row.accuracy:.1%} [{row.accuracy_low:.1%}, {row.accuracy_high:.1%}], margin "
        f"{row.margin:+.2f} nats, n={row.n:.0f} pairs, answers of up to {answer_tokens} tokens"
    )
