"""A stage's work in parts, each kept as soon as it is there: a build that is killed loses one at most.

parts = Parts(work / "parts" / "answers-redteam_eval", key)
parts.fill(engine, answer, how, chunks, tell)
rows = [row for part in parts for row in part]
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from explorer.files import read_json, whole, write_json
from explorer.pipeline.engine import Engine, Task
from explorer.progress import Progress as Tell


class Parts:
    """Results on disk by their number; each is rows (plain JSON values) or arrays by name.

    What is read back is what was written, so a resumed build and one in a single run see the same.
    """

    def __init__(self, folder: Path, key: str) -> None:
        """
        Args:
            folder: of these parts alone.
            key: of the stage; parts of another key are not there.
        """
        self.folder, self.key = folder, key
        self._count = 0

    def fill(self, engine: Engine, task: Task, shared: Any, items: Sequence[Any], tell: Tell) -> None:
        """Compute the parts that are not there yet."""
        self._count = len(items)
        missing = [i for i in range(len(items)) if self.read(i) is None]
        done = len(items) - len(missing)
        for place, result in engine.map(task, shared, [items[i] for i in missing]):
            self.write(missing[place], result)
            done += 1
            tell(done / len(items))

    def __iter__(self) -> Iterator[Any]:
        """The parts in the order of their items."""
        return (self.read(i) for i in range(self._count))

    def read(self, number: int) -> Any:
        """A part; None where it is not there."""
        known = read_json(self.folder / f"{number}.json")
        if isinstance(known, dict) and known.get("key") == self.key:
            return known["rows"]
        try:
            with np.load(self.folder / f"{number}.npz", allow_pickle=False) as file:
                arrays = dict(file)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # damaged parts are computed again
            return None
        return arrays if str(arrays.pop("key", "")) == self.key else None

    def write(self, number: int, result: Any) -> None:
        """Keep a part."""
        if isinstance(result, list):
            write_json(self.folder / f"{number}.json", {"key": self.key, "rows": result})
            return
        with whole(self.folder / f"{number}.npz") as half, half.open("wb") as file:
            np.savez(file, key=np.array(self.key), **result)
