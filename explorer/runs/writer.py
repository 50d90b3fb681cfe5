"""Write a run: into a folder of its own, which takes its place only when it is whole.

writer = RunWriter(work_folder)
writer.table("effect", frame)
writer.publish(manifest, target)
"""

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.digests import sha256_file
from explorer.files import check_name, make_folder, whole, writing
from explorer.neurons.ranking import Ranking
from explorer.runs.format import MANIFEST, SCHEMA_VERSION, TABLES, TENSORS
from explorer.runs.publishing import mend, put_in_place, remove

if TYPE_CHECKING:
    import pandas as pd


class RunWriter:
    """A run being written, in a folder that no reader looks at (its name starts with a dot).

    Each file is written under another name and renamed, so what is there is whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in (TENSORS, TABLES):
            make_folder(folder / part)

    def tensors(self, name: str, arrays: dict[str, np.ndarray], part: str = TENSORS) -> None:
        """Write arrays as one safetensors file, of the run or in another part of the folder."""
        from safetensors.numpy import save_file

        with whole(self.folder / part / f"{check_name(name, 'tensor file')}.safetensors") as half:
            save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, str(half))

    def change_scores(self, name: str, changes: Ranking) -> dict[str, Any]:
        """Write a ranking of any kind; returns what the manifest says of them."""
        arrays, about = changes.to_parts()
        self.tensors(name, arrays)
        return about

    def table(self, name: str, frame: "pd.DataFrame") -> None:
        """Write a table as Parquet, through `datasets`."""
        from datasets import Dataset, disable_progress_bars

        disable_progress_bars()
        with whole(self.folder / TABLES / f"{check_name(name, 'table')}.parquet") as half:
            Dataset.from_pandas(frame, preserve_index=False).to_parquet(str(half))

    def publish(self, manifest: dict[str, Any], target: Path, only: Collection[str] | None = None) -> None:
        """Copy tensors and tables, add checksums and the manifest, and put the copy in the run's place.

        The work folder stays, so that a later build finds its stages.

        Args:
            manifest: what the run was made from.
            target: the run's folder; a run that is there is replaced.
            only: the files that belong to the run ("tables/effect.parquet"); all that are there when left out.

        Raises:
            ExplorerError: the run could not be put in its place.
        """
        half = target.with_name(f".{target.name}-half")
        with writing(target):
            remove(half)
            mend(target.parent)
            for part, suffix in ((TENSORS, "*.safetensors"), (TABLES, "*.parquet")):
                (half / part).mkdir(parents=True)
                for file in (self.folder / part).glob(suffix):
                    if only is not None and f"{part}/{file.name}" not in only:
                        continue  # of a stage that the build file no longer names
                    shutil.copyfile(file, half / part / file.name)
            tables = sorted(p.stem for p in (half / TABLES).iterdir())
            files = {
                p.relative_to(half).as_posix(): {"sha256": sha256_file(p), "bytes": p.stat().st_size}
                for p in sorted(half.rglob("*"))
                if p.is_file()
            }
            told = {"schema_version": SCHEMA_VERSION, **manifest, "tables": tables, "files": files}
            (half / MANIFEST).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            put_in_place(half, target)
