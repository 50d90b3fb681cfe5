"""A stage's work in parts, each kept as soon as it is there: a build that is killed loses one at most.

parts = Parts(work / "parts" / "answers-redteam_eval", key)
parts.fill(engine, answer, how, chunks, tell)
rows = [row for part in parts for row in part]

Where a part takes long, it is computed a piece at a time, and the pieces are kept until it is there (`fill_in_pieces`).
"""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from explorer.digests import digest
from explorer.files import read_json, whole, write_json
from explorer.pipeline.engine import Engine, Task
from explorer.progress import Progress as Tell
from explorer.progress import part_of
from explorer.studies.given import Join

SPLITTING = 0.2
"""About the share of the work on a part that goes into its pieces before they are computed: answers are written."""


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

    def fill(
        self,
        engine: Engine,
        task: Task,
        shared: Any,
        items: Sequence[Any],
        tell: Tell,
        kept: Callable[[], None] = lambda: None,
        only: Collection[int] | None = None,
    ) -> None:
        """Compute the parts that are not there yet.

        Args:
            engine: where they are computed.
            task, shared, items: see `Engine.map`; one part for each item.
            tell: progress callback, fraction in [0, 1].
            kept: called before `tell` is told of parts that were there already.
            only: which parts are wanted, by number; all where left out.
        """
        self._count = len(items)
        missing = [i for i in range(len(items)) if (only is None or i in only) and self.read(i) is None]
        done = len(items) - len(missing)
        if done:
            kept()
            tell(done / len(items))
        for place, result in engine.map(task, shared, [items[i] for i in missing]):
            self.write(missing[place], result)
            done += 1
            tell(done / len(items))

    def fill_in_pieces(
        self,
        engine: Engine,
        split: Task,
        task: Task,
        shared: Any,
        items: Sequence[Any],
        join: Join,
        tell: Tell,
        kept: Callable[[], None] = lambda: None,
    ) -> None:
        """Compute the parts that are not there yet, a piece at a time; the result is the same whatever was kept.

        Args:
            engine, shared, items, tell, kept: see `fill`.
            split: gives an item's pieces, as rows; at least one.
            task: computes a piece.
            join: makes a part of its pieces.
        """
        self._count = len(items)
        lacking = [number for number in range(len(items)) if self.read(number) is None]
        plan = Parts(self.folder / "pieces", self.key)
        plan.fill(engine, split, shared, items, part_of(tell, 0, SPLITTING), kept, lacking)
        rows = {number: plan.read(number) for number in lacking}
        # By what its pieces are: another device may split a part otherwise.
        unfinished = {
            n: Parts(self.folder / str(n), digest({"key": self.key, "pieces": pieces})) for n, pieces in rows.items()
        }
        missing = [(n, i) for n, part in unfinished.items() for i in range(len(rows[n])) if part.read(i) is None]
        left = Counter(number for number, _ in missing)

        def finish(number: int) -> None:
            part = unfinished[number]
            self.write(number, join(part.read(i) for i in range(len(rows[number]))))
            shutil.rmtree(part.folder, ignore_errors=True)

        for number in unfinished:
            if not left[number]:  # the build ended just before they were joined
                finish(number)
        of, done = sum(map(len, rows.values())), 0
        telling = part_of(tell, SPLITTING, 1 - SPLITTING)

        def share() -> float:
            there = len(items) - len(lacking)
            return (there + len(lacking) * (1 - (len(missing) - done) / max(1, of))) / len(items)

        if share():
            kept()
            telling(share())
        for place, result in engine.map(task, shared, [rows[number][i] for number, i in missing]):
            number, i = missing[place]
            unfinished[number].write(i, result)
            left[number] -= 1
            if not left[number]:
                finish(number)
            done += 1
            telling(share())
        shutil.rmtree(plan.folder, ignore_errors=True)

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
