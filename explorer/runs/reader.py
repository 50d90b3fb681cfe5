"""Read a run: its manifest, its change scores, its tables. Needs no torch.

run = open_run("cache/demo")
run.change_scores("safety").top(fraction=0.05)
run.ranking("attribution").top(fraction=0.005)      # of any kind
run.table("effect")
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.errors import ExplorerError
from explorer.neurons.ranking import Ranking
from explorer.neurons.scores import ChangeScores, ranking_from_parts
from explorer.paths import PROJECT, runs_folder
from explorer.runs.format import MANIFEST, SCHEMA_VERSION, TABLES, TENSORS, check_name, sha256_file

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
            raise ExplorerError(f"Run {self.name} has no ranking “{name[:40]}”; it has {', '.join(self.rankings)}.")
        try:
            changes = ranking_from_parts(self.tensors(name), self.manifest["rankings"][name])
        except (KeyError, TypeError, ValueError) as problem:
            raise ExplorerError(f"Ranking “{name}” of run {self.name} is damaged; build the run again.") from problem
        experts = self.manifest["pair"].get("experts")
        return replace(changes, meta={**changes.meta, "experts": experts}) if experts else changes

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """All arrays of one tensor file.

        Raises:
            ExplorerError: the run has no such file, or it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self._file(f"{TENSORS}/{check_name(name, 'tensor file')}.safetensors")
        try:
            return load_file(str(path))
        except (OSError, SafetensorError, ValueError) as problem:
            raise ExplorerError(f"{path} is damaged; build the run again.") from problem

    def table(self, name: str) -> "pd.DataFrame":
        """One result table.

        Raises:
            ExplorerError: the run has no such table, or its file is damaged.
        """
        import pandas as pd

        if name not in self.tables:
            raise ExplorerError(f"Run {self.name} has no table “{name[:40]}”; it has {', '.join(self.tables)}.")
        path = self._file(f"{TABLES}/{name}.parquet")
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as problem:
            raise ExplorerError(f"{path} is damaged; build the run again.") from problem

    def check(self) -> list[str]:
        """One sentence for each file that is missing or fails its checksum; empty when all is well."""
        problems = []
        for name, about in sorted(self.manifest["files"].items()):
            path = self.path / name
            if not path.is_file():
                problems.append(f"{path} is missing; build the run again.")
            elif sha256_file(path) != about["sha256"]:
                problems.append(f"{path} fails its checksum; build the run again.")
        return problems

    def _file(self, name: str) -> Path:
        path = self.path / name
        if name not in self.manifest["files"] or not path.is_file():
            raise ExplorerError(f"{path} is missing; build the run again.")
        return path


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
    manifest_file = folder / MANIFEST
    if not manifest_file.is_file():
        raise ExplorerError(f"There is no run in {folder}; build one with `python -m explorer build CONFIG.toml`.")
    try:
        manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
        complete = all(key in manifest for key in ("pair", "rankings", "tables", "files"))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ExplorerError(f"{manifest_file} is damaged; build the run again.") from problem
    if version != SCHEMA_VERSION:
        raise ExplorerError(
            f"Run {folder} has format {version}, this program reads format {SCHEMA_VERSION}; build the run again."
        )
    if not complete:
        raise ExplorerError(f"{manifest_file} is damaged; build the run again.")
    return Run(folder.resolve(), manifest)


def find_run(name: str) -> Run:
    """The run of this name in the runs folder, for names that come from outside (a URL, a command line).

    "demo" and "cache/demo" mean the same; no other folder can be reached.

    Raises:
        ExplorerError: the name is none, or there is no such run.
    """
    folder = runs_folder()
    plain = name.removeprefix(f"{folder.name}/").removesuffix("/") if isinstance(name, str) else name
    path = folder / check_name(plain)
    if not path.is_dir():
        known = ", ".join(run_names()) or "none"
        raise ExplorerError(f"There is no run “{plain}” in {folder}; there is {known}.")
    return open_run(path)


def run_names() -> list[str]:
    """The finished runs in the runs folder, "demo" first."""
    folder = runs_folder()
    names = [p.parent.name for p in folder.glob(f"*/{MANIFEST}") if not p.parent.name.startswith(".")]
    return sorted(names, key=lambda name: (name != "demo", name))
