"""Commands on runs: `build`, `runs`, `check`, `audit` and `figure`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.commands.common import of_direction
from explorer.commands.options import DeviceOption
from explorer.errors import ExplorerError
from explorer.paths import shipped_file

if TYPE_CHECKING:
    from explorer.pipeline.status import Status


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
    answers = find_run(run).table(of_direction("answers", direction))
    sample = audit_sample(answers, cell, n, seed)
    if labels is not None:
        found = measured(sample, read_labels(labels))
        for name, share in (("precision", found.precision), ("recall", found.recall)):
            bounds = f"[{share.low:.1%}, {share.high:.1%}]"
            print(f"{name} of “refused” {share.value:.1%} {bounds}  n={found.n} labelled answers")
        return
    print(sample.assign(label="").to_csv(index=False) if csv else to_text(sample), end="")


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
