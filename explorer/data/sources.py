"""Prompts of data sets that do not ship with the project: files, and the hub's by name, through `datasets`.

A data set whose columns are known (`KNOWN`) needs only its name; any other needs a column map.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from explorer.data.columns import (
    CATEGORY_COLUMNS,
    PROMPT_COLUMNS,
    category_in,
    columns_of,
    find_column,
    name_of,
    prompt_in,
)
from explorer.data.rows import ENDINGS, ending_of, read_rows
from explorer.data.suite_spec import SuiteSpec
from explorer.data.suites_io import Prompt, check_length
from explorer.errors import ExplorerError, first_line
from explorer.files import is_file
from explorer.paths import fill_path


class Table(Protocol):
    """Rows by column, as `datasets.Dataset` has them."""

    @property
    def column_names(self) -> list[str]: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class FileTable:
    """The rows of a file, in memory; a row may lack columns that others have."""

    column_names: list[str]
    rows: list[dict[str, Any]]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


@dataclass(frozen=True)
class HubSet:
    """How a data set on the hub is read.

    Attributes:
        split: the split that is evaluated on.
        subset: the configuration, "" for the only one.
        prompt, category: columns, "" for none.
        files: where the hub holds loose files, those to read.
    """

    split: str
    prompt: str
    category: str = ""
    subset: str = ""
    files: str = ""


KNOWN = {
    "PKU-Alignment/BeaverTails": HubSet("30k_test", "prompt", "category"),
    "PKU-Alignment/BeaverTails-Evaluation": HubSet("test", "prompt", "category"),
    "Anthropic/hh-rlhf": HubSet("test", "chosen"),
    "walledai/HarmBench": HubSet("train", "prompt", "category", "standard"),
    "JailbreakBench/JBB-Behaviors": HubSet("harmful", "Goal", "Category", "behaviors"),
    "walledai/AdvBench": HubSet("train", "prompt"),
    "walledai/XSTest": HubSet("test", "prompt", "type"),
    "natolambert/xstest-v2-copy": HubSet("prompts", "prompt", "type"),
    "anon8231489123/ShareGPT_Vicuna_unfiltered": HubSet(
        "train", "conversations", files="ShareGPT_V3_unfiltered_cleaned_split.json"
    ),
}
"""Data sets that are read by name alone; a build file may override each setting."""


def load_source(spec: SuiteSpec, relative_to: Path) -> list[Prompt]:
    """The prompts of a suite that a build file describes.

    Args:
        spec: what the build file says.
        relative_to: the build file.

    Raises:
        ExplorerError: the file or data set is not there, or has no such column.
    """
    known = KNOWN.get(spec.hub, HubSet(spec.split, "", "", spec.subset))
    if spec.hub:
        table: Table = _from_hub(spec, known)
        place = spec.hub
    else:
        file = fill_path(spec.file, relative_to)
        table, place = _from_file(file), file.name
    return prompts_of(table, place, {**_columns(known), **dict(spec.columns)}, dict(spec.where))


def prompts_of(
    table: Table, place: str, columns: Mapping[str, str] | None = None, where: Mapping[str, Any] | None = None
) -> list[Prompt]:
    """The prompts of a table; of rows with the same prompt the first.

    Args:
        table: a `datasets.Dataset`, or the rows of a file.
        place: its name, for messages.
        columns: which column is "prompt", "category", "id"; guessed where left out.
        where: only rows whose columns have these values (true and false, numbers, and all else as text).

    Raises:
        ExplorerError: a column is not there, or no row is left.
    """
    names, chosen = list(table.column_names), dict(columns or {})
    for what in (*chosen.values(), *(where or {})):
        if what not in names:
            raise ExplorerError(f"{place} has no column “{what}”; it has {_listed(names)}.")
    prompt = chosen.get("prompt") or next(iter(columns_of(names, PROMPT_COLUMNS)), "")
    category = chosen.get("category") or next(iter(columns_of(names, CATEGORY_COLUMNS)), "")
    identity = chosen.get("id") or find_column(names, "id") or ""
    if not prompt:
        raise ExplorerError(f"{place} has no column of prompts that is known; name it: columns = {{ prompt = … }}.")
    found: list[Prompt] = []
    seen: set[str] = set()
    taken: set[str] = set()
    for number, row in enumerate(table, start=1):
        if not all(_same(row.get(name), value) for name, value in (where or {}).items()):
            continue
        text = prompt_in(row, prompt)
        if not text or text in seen:  # data sets of answers repeat each prompt
            continue
        check_length(text, f"{place}, row {number},")
        seen.add(text)
        kind = category_in(row.get(category)) if category else ""
        found.append(Prompt(name_of(row.get(identity) if identity else None, number, taken), text, kind))
    if not found:
        raise ExplorerError(f"{place} has no prompts left; check its columns and the setting `where`.")
    return found


def _listed(names: list[str]) -> str:
    """Columns as a sentence may hold them."""
    return " ".join(", ".join(map(str, names[:40])).split())[:400]


def _same(cell: Any, wanted: Any) -> bool:
    """Whether a cell has a value; in CSV every cell is text, "TRUE" and "1.0" among them."""
    if isinstance(wanted, bool):
        return str(cell).strip().lower() == str(wanted).lower()
    if isinstance(wanted, int | float):
        try:
            return float(cell) == wanted
        except (TypeError, ValueError, OverflowError):
            return False
    return str(cell) == str(wanted)


def _columns(known: HubSet) -> dict[str, str]:
    return {what: name for what, name in (("prompt", known.prompt), ("category", known.category)) if name}


def _from_file(file: Path) -> FileTable:
    if not is_file(file):
        raise ExplorerError(f"There is no file {file} of prompts; check the build file and EXPLORER_DATA.")
    if ending_of(file) not in ENDINGS:
        raise ExplorerError(f"{file.name} is none of {', '.join(ENDINGS)}; give one of these.")
    rows = [row.cells for row in read_rows(file, "file of prompts")]
    if not rows:
        raise ExplorerError(f"{file} holds no prompts; write one row for each.")
    return FileTable(list(dict.fromkeys(name for row in rows for name in row)), rows)


def _from_hub(spec: SuiteSpec, known: HubSet) -> Any:
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    split, subset = spec.split or known.split, spec.subset or known.subset
    if not split:
        raise ExplorerError(f"[suites.{spec.name}] needs the split of {spec.hub}: split = “test”, for instance.")
    try:
        name, _, file = spec.hub.partition(":")  # org/name:file names one of a repository's loose files
        return load_dataset(name, subset or None, split=split, data_files=file or known.files or None)
    except Exception as problem:  # the hub raises a dozen kinds; each means the same to a person
        raise ExplorerError(f"The data set “{spec.hub}” cannot be had: {first_line(problem, 200)}") from problem
