"""The command line: `python -m explorer --help`.

Commands import what they need when they run, so that `--help` and `rank` answer at once.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from explorer.errors import ExplorerError
from explorer.files import file_problem
from explorer.paths import data_folder, shipped_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import TaskID

    from explorer.engine.patching import Answer
    from explorer.models.pair import Pair
    from explorer.models.pair_spec import PairSpec
    from explorer.neurons.ranking import Ranking
    from explorer.pipeline.status import Status
    from explorer.serve.samples import Refusals

app = typer.Typer(
    help="Find, patch and watch the neurons that carry a language model's safety alignment.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

PairOption = Annotated[str, typer.Option(help="Pair: a shipped name or the path of a pair file (TOML).")]
M1Option = Annotated[
    str, typer.Option(help="M1 without a pair file: a hub id (org/name@revision), a folder or a .gguf file.")
]
M2Option = Annotated[str, typer.Option(help="M2 without a pair file: the same, or an adapter's folder.")]
RunOption = Annotated[str, typer.Option(help="Run: its name in the runs folder.")]
PairRunOption = Annotated[str, typer.Option(help="Run: its name in the runs folder. Left out: the pair's own.")]
RankingOption = Annotated[
    str, typer.Option(help="Ranking of the run, by change score or attribution; left out: its main one.")
]
EndOption = Annotated[
    str,
    typer.Option(
        help="Where a ranking by attribution begins: positive (makes M2's answer likelier), negative, or absolute. "
        "Left out: the ranking's own."
    ),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(help="bfloat16, float16, float32, or auto: the fastest here. Left out: the pair's own."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="cpu, cuda:0, or auto: a GPU where there is one. Left out: the pair's own."),
]
TokensOption = Annotated[int, typer.Option(help="Length limit of an answer, in tokens (1 to 1024).")]


def main() -> NoReturn:
    """Run the command line; a person's mistake is one line on standard error and exit code 2."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()  # what it is told to may be full, or closed
    except ExplorerError as problem:
        _fail(str(problem))
    except TyperException as problem:  # a misspelt option or a value out of range
        message = problem.format_message() if hasattr(problem, "format_message") else str(problem)
        if not message:  # no arguments: the help was shown
            sys.exit(2)
        _fail(" ".join(message.split()))
    except KeyboardInterrupt:
        print("explorer: stopped; what was finished is kept.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        sys.exit(0)
    except MemoryError:
        _fail("There is not enough memory for this; free some, or take fewer prompts or a smaller model.")
    except Exception as problem:
        said = file_problem(problem)
        if said is None:  # a defect of ours
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to print may be what failed
        _fail(said)
    sys.exit(code if isinstance(code, int) else 0)


def _of_direction(name: str, direction: str) -> str:
    """A table's name in a direction; stops where that is none."""
    from explorer.neurons.patch import DIRECTIONS

    if direction not in DIRECTIONS:
        _fail(f"The direction must be {' or '.join(DIRECTIONS)}, not “{direction}”.")
    return name if direction == DIRECTIONS[0] else f"{name}_{direction}"


def _fail(message: str) -> NoReturn:
    print(f"explorer: {' '.join(message.split())}", file=sys.stderr)  # one line, whatever a name in it holds
    sys.exit(2)


@app.command("app")
def app_command(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0: the first free one from 8501.")
    ] = 0,
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = False,
    address: Annotated[str, typer.Option(help="Address to listen at, such as 0.0.0.0. Left out: this machine.")] = "",
    base_path: Annotated[str, typer.Option(help="Path of the app behind a proxy, such as tools/neurons.")] = "",
    host: Annotated[str, typer.Option(help="Name by which browsers know the server, behind a proxy.")] = "",
    public: Annotated[
        bool, typer.Option("--public", help="For anybody: nothing of the server can be changed, requests are limited.")
    ] = False,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine for metrics (Prometheus); 0: none.")
    ] = 0,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Log events as JSON; --public does.")] = False,
) -> None:
    """Open the explorer in the browser, or serve it (docs/server.md)."""
    from explorer.serve.app_command import AppSettings, run_app

    raise typer.Exit(run_app(AppSettings(port, headless, address, base_path, host, public, metrics_port, json_logs)))


@app.command()
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
    _of_direction("", direction)
    spec = _pair(pair, m1, m2)
    found = _ranking(run or _run_of(pair, spec), ranking, end)
    what = Patch(found.top(fraction=fraction), strength, positions)
    from explorer import generate

    neurons, loaded = what.neurons, _load(spec, dtype, device)
    loaded = loaded if direction == DIRECTIONS[0] else loaded.reversed()
    how: dict[str, Any] = {"strength": what.strength, "positions": what.positions, "sampling": sampling}
    out = generate(loaded, [prompt] * samples, neurons, max_new_tokens, **how)
    answers = {"unpatched": out.unpatched, "patched": out.patched, "aligned": out.aligned}
    found = {name: _scored(loaded, prompt, its) for name, its in answers.items()}
    result = {
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
        result |= {"temperature": temperature, "top_p": top_p, "sampling_seed": sampling_seed, "samples": samples}
    for name, its in found.items():
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
    for name, its in found.items():
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


@app.command()
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

    changes = read_ranking(from_file) if from_file is not None else _ranking(run, ranking, end)
    if export is not None:
        print(f"The ranking of {len(changes.order):,} neurons is in {write_ranking(changes, export)}.")
        return
    table = neuron_table(changes).head(top)
    if isinstance(changes, Attributions):
        table = table.rename(columns={"change_score": "attribution"})
    print(table.to_csv(index=False) if csv else table.to_string(index=False), end="" if csv else "\n")


@app.command()
def build(
    config: Annotated[Path, typer.Argument(help="Build file (TOML), for instance configs/build/demo.toml.")],
    engine: Annotated[str, typer.Option(help="Where it runs: local (this process), or ray (workers).")] = "local",
    resume: Annotated[bool, typer.Option(help="Go on from what an earlier build left.")] = True,
    workers: Annotated[int, typer.Option(min=0, help="Workers of Ray; 0: one a GPU, or one.")] = 0,
    address: Annotated[str, typer.Option(help="Ray cluster; empty: one is started on this machine.")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Only print the stages and what they cost, in tokens.")] = False,
    device: DeviceOption = None,
) -> None:
    """Compute a run; stopped at any moment, the same command goes on where it was."""
    from explorer.pipeline.build import build as run_build
    from explorer.pipeline.build import print_plan, work_folder
    from explorer.pipeline.config import read_build_config
    from explorer.pipeline.display import Display
    from explorer.pipeline.engine import check_engine
    from explorer.pipeline.status import StatusFile, stop_on_terminate

    check_engine(engine)
    read = read_build_config(shipped_file(config))
    if plan:
        print_plan(read, device)
        return
    stop_on_terminate()
    with StatusFile(work_folder(read)) as status, Display() as display:

        def watch(now: "Status") -> None:
            status.tell(now)
            display.tell(now)

        folder = run_build(
            read,
            resume=resume,
            watch=watch,
            engine=engine,
            workers=workers,
            address=address,
            device=device,
        )
    print(f"The run is in {folder}.")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Training file (TOML), for instance configs/train/safety.toml.")],
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint.")] = True,
) -> None:
    """Train (IA)³ vectors with trl and peft; stopped at any moment, the same command goes on."""
    from explorer.training.config import read_train_config
    from explorer.training.trainer import train as run_training

    print(f"The adapter is in {run_training(read_train_config(shipped_file(config)), resume=resume)}.")


@app.command()
def runs() -> None:
    """List the runs."""
    from explorer.runs.reader import find_run, run_names

    for name in run_names():
        try:
            manifest = find_run(name).manifest
        except ExplorerError as problem:  # one damaged run hides no other
            print(f"explorer: {problem}", file=sys.stderr)
            continue
        told = [" ".join(str(manifest.get(key, "")).split())[:200] for key in ("title", "created")]
        print("\t".join([name, *(text if text.isprintable() else ascii(text) for text in told)]))


@app.command()
def check(run: Annotated[str, typer.Argument(help="Run: its name in the runs folder.")]) -> None:
    """Check every file of a run against its checksum."""
    from explorer.runs.reader import find_run

    found = find_run(run)
    problems = found.check()
    for problem in problems:
        print(f"explorer: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(2)
    print(f"{found.name}: {len(found.manifest['files'])} files, all as written.")


@app.command()
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
    loaded = _load(_pair(pair, m1, m2), dtype, device)
    with _bars() as progress:
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


@app.command("acceptance")
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
    spec, seeds = _pair(pair, m1, m2), [read_pair_file(name) for name in seed]
    loaded = _load(spec, dtype, device)
    with _bars() as progress:
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


@app.command()
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
    loaded = _load(_pair(pair, m1, m2), dtype, device)
    with _bars() as progress:
        row = preference_accuracy(loaded, pairs, answer_tokens, lambda share: progress("pairs", share)).iloc[0]
    print(
        f"implicit-reward accuracy {row.accuracy:.1%} [{row.accuracy_low:.1%}, {row.accuracy_high:.1%}], margin "
        f"{row.margin:+.2f} nats, n={row.n:.0f} pairs, answers of up to {answer_tokens} tokens"
    )


@app.command()
def card(
    adapters: Annotated[list[str], typer.Argument(help="Adapters: shipped names, or folders.")],
    limit: Annotated[int, typer.Option(min=1, help="Prompts of each suite.")] = 100,
    max_new_tokens: TokensOption = 32,
    pairs: Annotated[int, typer.Option(min=1, help="Held-out preference pairs, at most.")] = 300,
    windows: Annotated[int, typer.Option(min=0, help="Stretches of WikiText-2, of 256 tokens.")] = 20,
) -> None:
    """Measure adapters against M1 and write each one's card.json beside its weights."""
    from explorer.models.shipped import find_adapter
    from explorer.training.record import read_record

    for name in adapters:
        read_record(find_adapter(name))  # a mistake shows before a model is loaded
    data_folder()
    from explorer.training.card_maker import CardMaker, CardSettings

    maker = CardMaker(CardSettings(limit, max_new_tokens, pairs, windows))
    for name in adapters:
        with _bars() as progress:
            made = maker.make(name, progress)
        print(f"{made.name}: values with their 95 % intervals; tokens an answer, a pair's answer or a window")
        print(made.measured.to_string(index=False, float_format="{:.3f}".format, na_rep=""), end="\n\n")


@app.command()
def audit(
    run: Annotated[str, typer.Argument(help="Run: its name in the runs folder.")] = "demo",
    suite: Annotated[str, typer.Option(help="Only answers to this suite.")] = "",
    column: Annotated[str, typer.Option(help="Only these answers: unpatched, patched or aligned.")] = "",
    neurons: Annotated[str, typer.Option("--set", help="Only answers patched with this kind of set: safety, …")] = "",
    fraction: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Only answers patched at this share of all neurons.")
    ] = None,
    ranking: Annotated[str, typer.Option(help="Only answers patched with the sets of this ranking.")] = "",
    direction: Annotated[
        str, typer.Option(help="restore: answers of M1 with M2's activations; break: of M2 with M1's.")
    ] = "restore",
    n: Annotated[int, typer.Option("--n", min=1, max=10_000, help="Answers to read.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the random sample.")] = 0,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values with an empty column label.")
    ] = False,
    labels: Annotated[
        Path | None, typer.Option(help="A CSV file with key and label (refused, answered, unclear): your reading.")
    ] = None,
) -> None:
    """Read a random sample of the answers behind a number: verdict and cost, those first on which the two part."""
    from explorer.runs.reader import find_run
    from explorer.studies.audit import Cell, audit_sample, measured, read_labels, to_text

    cell = Cell(suite, column, neurons, fraction, ranking)
    answers = find_run(run).table(_of_direction("answers", direction))
    sample = audit_sample(answers, cell, n, seed)
    if labels is not None:
        found = measured(sample, read_labels(labels))
        for name, share in (("precision", found.precision), ("recall", found.recall)):
            bounds = f"[{share.low:.1%}, {share.high:.1%}]"
            print(f"{name} of “refused” {share.value:.1%} {bounds}  n={found.n} labelled answers")
        return
    print(sample.assign(label="").to_csv(index=False) if csv else to_text(sample), end="")


@app.command()
def figure(
    name: Annotated[str, typer.Argument(help="Chart: effect, refusals, break, fewest, …; “list” names all.")],
    file: Annotated[Path, typer.Argument(help="File that ends with .svg, .pdf or .png.")] = Path("figure.svg"),
    run: Annotated[str, typer.Option(help="Run: its name in the runs folder.")] = "demo",
) -> None:
    """Write a chart of a run as a figure, on white, with what was found as its caption."""
    from explorer.report.run import open_run
    from explorer.runs.reader import find_run

    opened = open_run(find_run(run).path)
    if name == "list":
        print("\n".join(opened.charts()))
        return
    print(opened.figure(name, file))


@app.command("fit-heads")
def fit_heads(
    heads: Annotated[str, typer.Option(help="cost, reward or both.")] = "both",
) -> None:
    """Fit the demo's score heads on $EXPLORER_DATA and the project's own pairs, and write them with their cards."""
    from explorer.scoring.make_heads import make_cost, make_reward

    makers = {"cost": [make_cost], "reward": [make_reward], "both": [make_cost, make_reward]}
    if heads not in makers:
        _fail(f"--heads must be cost, reward or both, not “{heads}”.")
    data = data_folder()
    for make in makers[heads]:
        card = make(data)
        told = ("layers", "pools", "reads_prompt", "C", "cross_validated")
        print(json.dumps({key: card[key] for key in told}))


@app.command()
def agreement() -> None:
    """Hold the demo's scores against labels, of people and of annotators, on answers that no head was fitted on."""
    from explorer.studies.agreement import agreement as measure

    found = measure(data_folder())
    for row in found["auroc"]:
        print(
            f"{row['head']:12} {row['set']:20} {row['auroc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  n={row['n']}"
        )


def _ranking(run: str, name: str, end: str) -> "Ranking":
    """A ranking of a run, from the end that is asked for."""
    from explorer.neurons.scores import Attributions
    from explorer.runs.reader import find_run

    opened = find_run(run)
    name = name or opened.main_ranking
    found = opened.ranking(name)
    if not end:
        return found
    if not isinstance(found, Attributions):
        raise ExplorerError(f"Ranking “{name}” is by change score, which has one end; leave out --end.")
    return found.by(end)


def _pair(name: str, m1: str, m2: str) -> "PairSpec":
    """The pair of --pair, or of --m1 and --m2; the demo's where none is named."""
    from explorer.models.pair_file import pair_of_places, read_pair_file

    if not m1 and not m2:
        return read_pair_file(name or "demo")
    if name:
        raise ExplorerError("Give either --pair, or both --m1 and --m2.")
    if not m1 or not m2:
        raise ExplorerError(f"--{'m1' if m2 else 'm2'} is missing: a pair is two models, --m1 and --m2.")
    return pair_of_places(m1, m2)


def _run_of(name: str, spec: "PairSpec") -> str:
    """The run of a pair: the demo's for pairs over the embedded model, else the one that was built from the pair.

    Raises:
        ExplorerError: there is none, so that there are no neurons to patch.
    """
    from explorer.models.places import EMBEDDED
    from explorer.runs.reader import find_run, run_names

    if spec.m1.base.startswith(EMBEDDED):
        return "demo"
    names = {name, Path(name).name, Path(name).stem} - {""}
    for run in run_names():
        with contextlib.suppress(ExplorerError):  # a damaged run is none of this pair's
            about = find_run(run).manifest.get("pair", {})
            if run in names or about.get("file") in names or (about.get("name") == spec.name and spec.source):
                return run
    raise ExplorerError(
        f"The pair “{spec.name}” has no run yet, so there are no neurons to patch; build one (python -m explorer build "
        "FILE.toml) and give it with --run."
    )


def _load(spec: "PairSpec", dtype: str | None, device: str | None) -> "Pair":
    """Load a pair with a progress bar for the slow first time, and tell how its models read where they differ."""
    from explorer.models.pair import load_pair

    with _bars() as progress:
        loaded = load_pair(spec, dtype=dtype, device=device, progress=progress)
    for note in loaded.reading.notes:
        print(f"explorer: {note}", file=sys.stderr)
    return loaded


def _scores(pair: "Pair", prompts: list[str], texts: list[str]) -> dict[str, list[float]]:
    from explorer.scoring.registry import NAMES, load_scorer

    return {name: [float(x) for x in load_scorer(name, pair).score(prompts, texts)] for name in NAMES}


class _bars:
    """Progress bars on standard error, one for each thing that is being done."""

    def __enter__(self):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=not sys.stderr.isatty(),
        )
        self._tasks: dict[str, TaskID] = {}
        self._bars.start()
        return self._tell

    def _tell(self, what: str, share: float) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=1.0)
        self._bars.update(self._tasks[what], completed=share)

    def __exit__(self, *_exc: object) -> None:
        self._bars.stop()
