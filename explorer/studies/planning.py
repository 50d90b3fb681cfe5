"""Stages of a build, and what the keys and the work of all of them are made of."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from explorer.digests import digest
from explorer.progress import Progress as Tell
from explorer.progress import part_of
from explorer.runs.format import TABLES

if TYPE_CHECKING:
    import pandas as pd

VERSION = 3
"""Raised when a stage computes something else from the same inputs."""

CHUNK = 16
"""Prompts of a part of a stage's work: an interrupted build loses at most the work on these."""

LATER = {"later": True}
"""Metadata of settings that came later than builds did, see `options`."""


@dataclass(frozen=True)
class Stage:
    """One step of a build.

    Attributes:
        name: unique within the build.
        inputs: all that its outputs depend on, as plain JSON values (digests, options, keys of stages).
        run: does the work; its argument is told the share that is done. What it returns (plain JSON
            values) is kept in the record.
        outputs: files it writes, relative to the work folder.
        tokens: about how many tokens its models read and write, for the estimate of the time left.
    """

    name: str
    inputs: dict[str, Any]
    run: Callable[[Tell], Any]
    outputs: tuple[str, ...]
    tokens: float = 0.0

    @property
    def key(self) -> str:
        """A digest of everything the outputs depend on."""
        return digest({"stage": self.name, "version": VERSION, "inputs": self.inputs})


def options(settings: Any) -> dict[str, Any]:
    """What the key of a stage holds of a table of the build file.

    Settings that came later are in it only where they are not left at their default, so that what was computed before
    there were any stays valid.
    """
    later = {f.name: f.default for f in fields(settings) if f.metadata.get("later")}
    return {name: v for name, v in asdict(settings).items() if name not in later or v != later[name]}


def with_method(frame: "pd.DataFrame", method: str) -> "pd.DataFrame":
    """The rows of one part, which begin with how its rankings were computed."""
    frame.insert(0, "method", method)
    return frame


def table_file(name: str) -> str:
    """Where a table lies in a work folder."""
    return f"{TABLES}/{name}.parquet"


def share(tell: Tell, number: int, of: int) -> Tell:
    """Progress within one of several equal parts of a stage."""
    return part_of(tell, number / of, 1 / of)


def chunks(items: Sequence[Any], size: int) -> list[list[Any]]:
    """The items in order, `size` at a time."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]
