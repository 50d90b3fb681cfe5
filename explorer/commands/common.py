"""What several commands do: fail in one line, find a pair, its run and a ranking, load with progress bars."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from explorer.errors import ExplorerError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from explorer.models.pair import Pair
    from explorer.models.pair_spec import PairSpec
    from explorer.neurons.ranking import Ranking


def fail(message: str) -> NoReturn:
    """End with exit code 2 and one line on standard error."""
    print(f"explorer: {' '.join(message.split())}", file=sys.stderr)  # one line, whatever a name in it holds
    sys.exit(2)


def of_direction(name: str, direction: str) -> str:
    """A table's name in a direction; stops where that is none."""
    from explorer.neurons.patch import DIRECTIONS

    if direction not in DIRECTIONS:
        fail(f"The direction must be {' or '.join(DIRECTIONS)}, not “{direction}”.")
    return name if direction == DIRECTIONS[0] else f"{name}_{direction}"


def ranking_of(run: str, name: str, end: str) -> "Ranking":
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


def pair_of(name: str, m1: str, m2: str) -> "PairSpec":
    """The pair of --pair, or of --m1 and --m2; the demo's where none is named."""
    from explorer.models.pair_file import pair_of_places, read_pair_file

    if not m1 and not m2:
        return read_pair_file(name or "demo")
    if name:
        raise ExplorerError("Give either --pair, or both --m1 and --m2.")
    if not m1 or not m2:
        raise ExplorerError(f"--{'m1' if m2 else 'm2'} is missing: a pair is two models, --m1 and --m2.")
    return pair_of_places(m1, m2)


def run_of(name: str, spec: "PairSpec") -> str:
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


def load(spec: "PairSpec", dtype: str | None, device: str | None) -> "Pair":
    """Load a pair with a progress bar for the slow first time, and tell how its models read where they differ."""
    from explorer.models.pair import load_pair

    with bars() as progress:
        loaded = load_pair(spec, dtype=dtype, device=device, progress=progress)
    for note in loaded.reading.notes:
        print(f"explorer: {note}", file=sys.stderr)
    return loaded


class bars:
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
