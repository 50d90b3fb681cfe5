"""Rows of the files that people bring: JSONL, JSON, CSV, TSV, Parquet, packed by gzip or not, in any of its encodings.

for row in read_rows(Path("prompts.csv"), "file of prompts"):
    print(row.place, row.cells["prompt"])           # "line 2", …

The one reader of suites, builds and preference pairs; rankings in CSV are read by `read_cells`.
"""

import csv
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOBase
from itertools import chain, islice
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError, first_line
from explorer.text_file import MOST_LINE, open_bytes, open_text

JSON, CSV, PARQUET = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv"), (".parquet",)
ENDINGS = (*JSON, *CSV, *PARQUET)
"""Endings of files that are read, in upper or lower case, with or without .gz after them."""

DEEPEST = 50
"""Levels that lists and objects of a row are nested at most; data sets have three."""

MOST_DOCUMENT = 2**28
"""Characters of a JSON file that is one array; longer ones are written as JSONL."""

MOST_HEADER = 100_000
"""Characters of a header that goes over several lines."""

SEPARATORS = (",", ";", "\t", "|")
_NONE = "\0"
"""Stands for the separator of a file with one column: no text file holds it."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Row:
    """A row of a file.

    Attributes:
        place: where it stands, for messages: "line 3" of text, "row 3" of a table.
        cells: by column; text in CSV, any JSON value elsewhere.
    """

    place: str
    cells: dict[str, Any]


@dataclass(frozen=True)
class Cells:
    """A separated text file.

    Attributes:
        separator: one of `SEPARATORS`, or "" where there is one column.
        columns: the header's names, without white space around them.
        rows: line number and as many cells as there are columns.
    """

    separator: str
    columns: list[str]
    rows: Iterator[tuple[int, list[str]]]


def ending_of(path: Path) -> str:
    """The ending of a file's name in lower case, of what is packed where it is packed: ".jsonl" of "A.JSONL.gz"."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def read_rows(path: Path, what: str) -> Iterator[Row]:
    """The rows of a file, one after the other; blank lines are passed over.

    Args:
        path: with one of `ENDINGS`.
        what: its kind, for messages: "file of prompts".

    Raises:
        ExplorerError: it is missing or of another form, or a row cannot be read; also while it is read.
    """
    ending = ending_of(path)
    if ending in PARQUET:
        yield from _parquet(path, what)
    elif ending in CSV:
        with open_text(path, what) as file:
            cells = read_cells(file, path, "\t" if ending == ".tsv" else ",")
            for number, values in cells.rows:
                yield Row(f"line {number}", dict(zip(cells.columns, values, strict=True)))
    elif ending in JSON:
        with open_text(path, what) as file:
            yield from _json(file, path)
    else:
        raise ExplorerError(f"{path.name} is none of {', '.join(ENDINGS)}; give one of these (also packed, as .gz).")


# -- JSON ----------------------------------------------------------------------------------------


def _json(file: TextIOBase, path: Path) -> Iterator[Row]:
    """The objects of a JSONL file, or of a file that is one JSON document."""
    lines = _lines(file, path, long_ones=ending_of(path) == ".json")
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    head = list(islice(numbered, 2))
    if not head:
        return
    number, line = head[0]
    start = _parsed(line)
    if isinstance(start, dict) and not (len(head) == 1 and (_is_table(start) or _columns(start))):
        yield _object(start, line, number, path)
        for number, line in chain(head[1:], numbered):
            yield _object(_parsed(line), line, number, path)
        return
    text, value = line, start
    if len(head) > 1:  # no JSONL, so one document over several lines
        text = _joined((line for _, line in chain(head, numbered)), path)
        value = _parsed(text)
    if value is None:
        raise _no_object(start, line, number, path)
    for place, cells in enumerate(_document(value, number, path), start=1):
        yield _whole(Row(f"row {place}", cells), path, bool(_SURROGATE.search(text)))


def _joined(lines: Iterator[str], path: Path) -> str:
    parts, length = [], 0
    for line in lines:
        parts.append(line)
        length += len(line)
        if length > MOST_DOCUMENT:
            raise ExplorerError(
                f"{path} is no JSONL, and has more than the {MOST_DOCUMENT:,} characters of a JSON document; write one "
                "object a line."
            )
    return "".join(parts)


def _no_object(value: Any, line: str, number: int, path: Path) -> ExplorerError:
    said = "JSON" if value is None and line.strip() != "null" else "a JSON object"
    return ExplorerError(f"{path}, line {number}, is not {said}; write one object a line.")


def _parsed(text: str) -> Any:
    """A JSON value; None where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if text.count("[") + text.count("{") < DEEPEST or _is_flat(value, DEEPEST) else None


def _is_flat(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested at most so deep."""
    if not isinstance(value, list | dict):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_flat(item, levels - 1) for item in inner)


def _is_table(value: dict) -> bool:
    """Whether an object holds the rows under one of its names ({"data": [{…}, …]}), and is no row itself."""
    lists = [v for v in value.values() if isinstance(v, list) and v and all(isinstance(item, dict) for item in v)]
    return len(value) <= 4 and len(lists) == 1 and not _is_turns(lists[0])


def _is_turns(value: list) -> bool:
    return all("role" in turn or "from" in turn for turn in value)


def _columns(value: dict) -> list[dict]:
    """The rows of a table that is written by its columns, as pandas does: {"prompt": {"0": …}} or {"prompt": […]}."""
    parts = list(value.values())
    if parts and all(isinstance(part, dict) and part and all(key.isdigit() for key in part) for part in parts):
        return [{name: part.get(key) for name, part in value.items()} for key in parts[0]]
    plain = all(isinstance(part, list) and not any(isinstance(cell, dict | list) for cell in part) for part in parts)
    if parts and plain and len({len(part) for part in parts}) == 1:
        return [dict(zip(value, cells, strict=True)) for cells in zip(*parts, strict=True)]
    return []


def _document(value: Any, number: int, path: Path) -> list[dict]:
    """The rows of a JSON document: an array of objects or of prompts, an array under a name, or a table by columns."""
    if isinstance(value, dict) and _is_table(value):
        value = next(v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict))
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [{"prompt": item} for item in value]
    if isinstance(value, dict):  # by columns, or one object over several lines
        return _columns(value) or [value]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _no_object(value, "", number, path)
    return value


def _object(value: Any, line: str, number: int, path: Path) -> Row:
    if not isinstance(value, dict):
        raise _no_object(value, line, number, path)
    return _whole(Row(f"line {number}", value), path, bool(_SURROGATE.search(line)))


def _whole(row: Row, path: Path, may_hold_halves: bool) -> Row:
    """The row, after a check that its texts can be read by anything: no half characters, none longer than a line."""
    if may_hold_halves:
        try:
            json.dumps(row.cells, ensure_ascii=False).encode()
        except UnicodeEncodeError as problem:
            half = f"\\u{ord(problem.object[problem.start]):x}"
            raise ExplorerError(
                f"{path}, {row.place}, holds half a character (a lone surrogate, {half}); the text was cut "
                "in the middle of one, so mend it or leave it out."
            ) from problem
    if any(isinstance(value, str) and len(value) > MOST_LINE for value in row.cells.values()):
        raise ExplorerError(f"{path}, {row.place}, holds a text of more than {MOST_LINE:,} characters; leave it out.")
    return row


# -- separated text ------------------------------------------------------------------------------


def read_cells(file: TextIOBase, path: Path, usual: str = ",") -> Cells:
    """The header and the rows of separated text; the separator is the one that the header uses most.

    Args:
        file: as `open_text` gives it.
        path: its name, for messages.
        usual: the separator where the header's could be more than one.

    Raises:
        ExplorerError: it is empty, or a row cannot be read; also while it is read.
    """
    lines = _lines(file, path)
    skipped, header = next(((n, line) for n, line in enumerate(lines) if line.strip()), (0, ""))
    if re.fullmatch(r"sep=.", header.strip("\r\n")):  # so Excel tells itself the separator
        usual, skipped, header = header[4], skipped + 1, next(lines, "")
    if not header.strip():
        raise ExplorerError(f"{path} is empty; its first line must name the columns.")
    more = _rest_of_header(header, lines)
    header, skipped = "".join([header, *more]), skipped + len(more)
    counts = {s: _width(header, s) for s in (usual, *SEPARATORS)}
    separator = max(counts, key=lambda s: counts[s])
    separator = separator if counts[separator] > 1 else _NONE
    reader = csv.reader(chain([header], lines), delimiter=separator, strict=True, skipinitialspace=separator != "\t")
    rows = _separated(reader, path, skipped)
    _, names = next(rows, (1, []))
    names = [" ".join(name.split()) for name in names]
    kept = [i for i, name in enumerate(names) if name]
    columns = [names[i] for i in kept]
    twice = next((name for i, name in enumerate(columns) if name in columns[:i]), None)
    if twice is not None or not columns:
        said = f"names the column “{twice}” twice; give each a name of its own" if twice else "names no columns"
        raise ExplorerError(f"{path} {said}.")
    return Cells("" if separator == _NONE else separator, columns, _matched(rows, kept, len(names), path))


def _rest_of_header(header: str, lines: Iterator[str]) -> list[str]:
    """The lines that a header goes on over, where a column's name has several."""
    more: list[str] = []
    marks, length = header.count('"'), len(header)
    while marks % 2 and length < MOST_HEADER and (line := next(lines, "")):
        more.append(line)
        marks, length = marks + line.count('"'), length + len(line)
    return more


def _width(header: str, separator: str) -> int:
    """How many cells a header has; 0 where it cannot be read so."""
    try:
        return len(next(csv.reader([header], delimiter=separator), []))
    except csv.Error:
        return 0


def _separated(reader: Any, path: Path, skipped: int) -> Iterator[tuple[int, list[str]]]:
    try:
        for values in reader:
            if any(values):
                yield reader.line_num + skipped, values
    except csv.Error as problem:
        raise ExplorerError(
            f"{path}, line {reader.line_num + skipped}, cannot be read: {first_line(problem, 100)}; put a text with "
            'separators or quotation marks in it between quotation marks, and write those in it twice ("").'
        ) from problem


def _matched(
    rows: Iterator[tuple[int, list[str]]], kept: list[int], width: int, path: Path
) -> Iterator[tuple[int, list[str]]]:
    """The cells of the columns that have a name; what stands beside the columns must be blank."""
    for number, values in rows:
        if any(value.strip() for value in values[width:]):
            raise ExplorerError(
                f"{path}, line {number}, has {len(values)} cells where the header has {width}; put texts that hold the "
                "separator between quotation marks."
            )
        values += [""] * (width - len(values))
        yield number, [values[i] for i in kept]


def _lines(file: TextIOBase, path: Path, long_ones: bool = False) -> Iterator[str]:
    """The lines of a file with their ends, none longer than `MOST_LINE`, or than a document where one may be."""
    number, ends = 0, ""
    while line := file.readline(MOST_LINE + 1):
        number += 1
        ends = ends or line[-1]
        while ends == "\n" and line[-1] == "\r" and (more := file.readline(MOST_LINE + 1 - len(line))):
            line += more  # where lines end otherwise, \r is a part of one
        if len(line) > MOST_LINE and long_ones:
            line += file.readline(MOST_DOCUMENT - len(line))
        elif len(line) > MOST_LINE:
            raise ExplorerError(
                f"{path}, line {number}, has more than {MOST_LINE:,} characters; write one row a line, none longer."
            )
        yield line


# -- Parquet -------------------------------------------------------------------------------------


def _parquet(path: Path, what: str) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    with open_bytes(path, what) as file:
        try:
            for batch in pq.ParquetFile(pa.PythonFile(file, mode="r")).iter_batches(1000):
                for cells in batch.to_pylist():
                    number += 1
                    yield _whole(Row(f"row {number}", cells), path, False)
        except (OSError, EOFError, ValueError, zlib.error, pa.ArrowException) as problem:
            raise ExplorerError(f"{path.name} cannot be read as parquet: {first_line(problem, 200)}") from problem
