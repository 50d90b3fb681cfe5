"""Read a run: its manifest, its change scores, its tables. Needs no torch.

run = open_run("cache/demo")
run.change_scores("safety").top(fraction=0.05)
run.ranking("attribution").top(fraction=0.005)      # of any kind
run.table("effect")
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.digests import sha256_file
from explorer.errors import ExplorerError
from explorer.files import check_name, is_file
from explorer.neurons.ranking import Ranking
from explorer.neurons.scores import ChangeScores, ranking_from_parts
from explorer.paths import PROJECT, run_folders, runs_folder
from explorer.runs.columns import MAIN, with_columns
from explorer.runs.format import (
    KEY_ARRAYS,
    KEY_COLUMNS,
    MANIFEST,
    TABLES,
    TENSORS,
    TEXT_COLUMNS,
)
from explorer.runs.manifest import read_manifest
from explorer.runs.publishing import mend

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A finished run on disk.

    Attributes:
        path: its folder.
        manifest: what it was made from: models, adapters, prompts, packages, seeds, and a checksum
            for every file.
    """

    path: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def n_layers(self) -> int:
        return int(self.manifest["pair"]["n_layers"])

    @property
    def n_neurons(self) -> int:
        return int(self.manifest["pair"]["n_neurons"])

    @property
    def rankings(self) -> list[str]:
        """Names of the rankings in the run, the main one first."""
        return list(self.manifest["rankings"])

    @property
    def main_ranking(self) -> str:
        """The ranking that is shown first; "" where the run has none."""
        known = self.rankings
        asked = self.manifest.get("ranking", MAIN)
        return asked if asked in known else next(iter(known), "")

    @property
    def tables(self) -> list[str]:
        return list(self.manifest["tables"])

    def change_scores(self, name: str = "safety") -> ChangeScores:
        """The change scores of one ranking.

        Raises:
            ExplorerError: the run has no such ranking, it is one by attribution, or its file is damaged.
        """
        changes = self.ranking(name)
        if not isinstance(changes, ChangeScores):
            raise ExplorerError(f"Ranking “{name}” of run {self.name} holds no change scores; read it as a ranking.")
        return changes

    def ranking(self, name: str = "safety") -> Ranking:
        """One ranking, by change score or by attribution.

        Raises:
            ExplorerError: the run has no such ranking, or its file is damaged.
        """
        if name not in self.rankings:
            known = ", ".join(self.rankings) or "none"
            raise ExplorerError(f"Run {self.name} has no ranking “{str(name)[:40]}”; it has {known}.")
        try:
            changes = ranking_from_parts(self.tensors(name), self.manifest["rankings"][name])
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            raise ExplorerError(f"Ranking “{name}” of run {self.name} is damaged; build the run again.") from problem
        if not self._is_whole(changes):
            raise ExplorerError(
                f"Ranking “{name}” of run {self.name} is damaged: its scores must be finite numbers, one for each of "
                f"{self.n_layers} × {self.n_neurons} neurons; build the run again."
            )
        about = self.manifest["pair"]
        layout = {name: about[name] for name in ("experts", "widths") if about.get(name)}
        return replace(changes, meta={**changes.meta, **layout}) if layout else changes

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """All arrays of one tensor file.

        Raises:
            ExplorerError: the run has no such file, or it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self._file(f"{TENSORS}/{check_name(name, 'tensor file')}.safetensors")
        try:
            arrays = load_file(str(path))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as problem:
            raise ExplorerError(f"{path} is damaged; build the run again.") from problem
        lacking = next((key for key in KEY_ARRAYS.get(name, "").split() if key not in arrays), None)
        if lacking is not None:
            raise ExplorerError(f"{path} is damaged: it lacks the array “{lacking}”; build the run again.")
        return arrays

    def table(self, name: str) -> "pd.DataFrame":
        """One result table, with the columns `ranking` and `method` where an older run lacks them (`runs.columns`).

        Raises:
            ExplorerError: the run has no such table, or its file is damaged.
        """
        import pandas as pd

        if name not in self.tables:
            known = ", ".join(self.tables) or "none"
            raise ExplorerError(f"Run {self.name} has no table “{str(name)[:40]}”; it has {known}.")
        path = self._file(f"{TABLES}/{name}.parquet")
        try:
            table = pd.read_parquet(path).rename(columns=_today)
            return with_columns(name, table, self.manifest["rankings"])
        except Exception as problem:  # pyarrow and pandas have kinds of their own for each damage
            raise ExplorerError(f"{path} is damaged; build the run again.") from problem

    def whole_table(self, name: str) -> "pd.DataFrame":
        """One result table, after a check that it has the columns that tell its rows apart (`format.KEY_COLUMNS`).

        Raises:
            ExplorerError: as for `table`, or a column is missing or of another kind.
        """
        import pandas as pd

        table, path = self.table(name), self.path / TABLES / f"{name}.parquet"
        for column in KEY_COLUMNS.get(name, "").split():
            if column not in table:
                raise ExplorerError(f"{path} is damaged: it lacks the column “{column}”; build the run again.")
            if column in TEXT_COLUMNS and len(table) and not pd.api.types.is_string_dtype(table[column]):
                raise ExplorerError(f"{path} is damaged: its column “{column}” holds no text; build the run again.")
        return table

    def check(self) -> list[str]:
        """One sentence for each file that is missing or fails its checksum; empty when all is well."""
        problems = []
        for name, about in sorted(self.manifest["files"].items()):
            path = self.path / name
            if self._is_link(path):
                problems.append(f"{path} is a symbolic link, and a run reads only its own files; copy the file itself.")
            elif not is_file(path):
                problems.append(f"{path} is missing; build the run again.")
            elif sha256_file(path) != about["sha256"]:
                problems.append(f"{path} fails its checksum; build the run again.")
        return problems

    def _file(self, name: str) -> Path:
        path = self.path / name
        if name not in self.manifest["files"] or not is_file(path):
            raise ExplorerError(f"{path} is missing; build the run again.")
        if self._is_link(path):
            raise ExplorerError(f"{path} is a symbolic link, and a run reads only its own files; copy the file itself.")
        return path

    def _is_link(self, path: Path) -> bool:
        """Whether a file of the run, or the folder it lies in, is a symbolic link: it would lead outside."""
        return path.is_symlink() or path.parent.is_symlink()

    def _is_whole(self, changes: Ranking) -> bool:
        shape = (self.n_layers, self.n_neurons)
        arrays = (changes.scores, changes.mean1, changes.mean2, changes.std1, changes.std2)
        excluded = all(isinstance(i, int) and 0 <= i < self.n_layers for i in changes.excluded_layers)
        kinds = isinstance(changes.meta, dict) and isinstance(changes.label, str) and excluded
        numbers = all(a.shape == shape and a.dtype.kind == "f" for a in arrays)
        return kinds and numbers and bool(np.isfinite(changes.scores).all())


def open_run(path: str | Path) -> Run:
    """Open the run in a folder.

    Args:
        path: the folder; a relative one is looked for from here, then from the project.

    Raises:
        ExplorerError: there is no run, it is damaged, or it was written by another version.
    """
    folder = Path(path)
    if not folder.is_absolute() and not folder.is_dir():
        folder = PROJECT / folder
    manifest = read_manifest(folder)
    return Run(folder.resolve(), manifest)


def find_run(name: str) -> Run:
    """The run of this name in the folders of runs, for names that come from outside (a URL, a command line).

    "demo" and "cache/demo" mean the same; no other folder can be reached. A run of one's own hides a shipped one.

    Raises:
        ExplorerError: the name is none, or there is no such run.
    """
    folder, *others = run_folders()
    plain = name.removeprefix(f"{folder.name}/").removesuffix("/") if isinstance(name, str) else name
    if others and isinstance(plain, str):
        plain = plain.removeprefix("cache/")
    check_name(plain)
    mend(folder)
    path = next((one / plain for one in (folder, *others) if (one / plain).is_dir()), folder / plain)
    if path.is_symlink():
        raise ExplorerError(
            f"Run “{plain}” is a symbolic link to another folder; copy the run into {folder}, or set EXPLORER_RUNS to "
            "the folder that it lies in."
        )
    if not path.is_dir():
        known = ", ".join(run_names()) or "none"
        raise ExplorerError(f"There is no run “{plain}” in {folder}; there is {known}.")
    return open_run(path)


def run_names() -> list[str]:
    """The finished runs in the folders of runs, "demo" first."""
    mend(runs_folder())
    found = {p.parent.name for folder in run_folders() if folder.is_dir() for p in folder.glob(f"*/{MANIFEST}")}
    names = [name for name in found if not name.startswith(".")]
    return sorted(names, key=lambda name: (name != "demo", name))


def _today(column: str) -> str:
    """A column by its name of today: runs of before verdicts call degenerate answers babble."""
    return f"degenerate{column.removeprefix('babble')}" if column in _RENAMED else column


_RENAMED = ("babble", "babble_low", "babble_high", "babble_draw_min", "babble_draw_max")
