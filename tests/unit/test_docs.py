"""What is written for people against what it is about.

`docs/run_format.md` against the run that ships: what is documented is there, and what is there is documented. Links
lead to files, and the citation names this version.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from safetensors import safe_open

from explorer.paths import PROJECT
from explorer.runs.format import KEY_ARRAYS, KEY_COLUMNS, SCHEMA_VERSION

RUN = PROJECT / "cache" / "demo"
PAGE = (PROJECT / "docs" / "run_format.md").read_text(encoding="utf-8")
MANIFEST = json.loads((RUN / "manifest.json").read_text(encoding="utf-8"))

NOT_IN_THE_DEMO: tuple[str, ...] = ()
"""Tables that the shipped run's build file does not ask for."""

SCORERS = list(MANIFEST["score_columns"])
PLACEHOLDERS = {
    "<scorer>": SCORERS,
    "<measure>": ["refusal", *SCORERS],
    "<score>": ["refusal", *SCORERS, "degenerate"],
}
TYPES = {"large_string": "text", "string": "text", "int64": "int", "double": "float", "float": "float", "bool": "bool"}
DTYPES = {"F16": "float16", "F32": "float32", "F64": "float64", "I32": "int32", "I64": "int64"}
OPTIONAL = "*Optional*"


@cache
def part(heading: str, level: int) -> str:
    """The text below a heading, up to the next one of its level or above."""
    found = re.search(rf"^{'#' * level} {re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", PAGE, re.M | re.S)
    assert found, f"docs/run_format.md has no heading {heading}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table's rows whose first cell holds names."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line] for line in lines]


def names(cell: str) -> list[str]:
    """The names of a cell: "`a`, `…_low`" are a and a_low."""
    found = re.findall(r"`([^`]+)`", cell)
    return [name.replace("…", found[0]) for name in found]


def documented_columns(text: str) -> dict[str, tuple[str, bool]]:
    """Type of each documented column, and whether it is in every run."""
    out = {}
    for cell, kind, *_, meaning in rows(text):
        for name in names(cell):
            place = next((p for p in PLACEHOLDERS if p in name), "")
            for score in PLACEHOLDERS[place] if place else [""]:
                out[name.replace(place, score) if place else name] = kind, OPTIONAL not in meaning
    return out


HEADINGS = re.findall(r"^### (.*)$", part("Tables", 2), re.M)
TABLES = {name: heading for heading in HEADINGS for name in names(heading)}


def test_the_version_is_the_reader_s():
    assert f"**format {SCHEMA_VERSION}**" in part("Version", 2)
    assert MANIFEST["schema_version"] == SCHEMA_VERSION


def test_every_table_is_documented_and_there():
    assert set(TABLES) == set(MANIFEST["tables"]) | set(NOT_IN_THE_DEMO)
    assert set(KEY_COLUMNS) <= set(TABLES)


@pytest.mark.parametrize("table", MANIFEST["tables"])
def test_the_columns_of_a_table_are_the_documented_ones(table):
    documented = documented_columns(part(TABLES[table], 3))
    there = {f.name: TYPES[str(f.type)] for f in pq.read_schema(RUN / "tables" / f"{table}.parquet")}
    assert set(there) <= set(documented), "in the table and not in docs/run_format.md"
    assert {n for n, (_, always) in documented.items() if always} <= set(there), "documented and not in the table"
    assert there == {name: documented[name][0] for name in there}


def test_optional_columns_are_in_some_table():
    for heading in HEADINGS:
        optional = {n for n, (_, always) in documented_columns(part(heading, 3)).items() if not always}
        files = [RUN / "tables" / f"{table}.parquet" for table in names(heading)]
        assert optional <= {n for file in files if file.is_file() for n in pq.read_schema(file).names}


@pytest.mark.parametrize("table", KEY_COLUMNS)
def test_the_columns_that_a_reader_asks_for_are_documented(table):
    assert set(KEY_COLUMNS[table].split()) <= set(documented_columns(part(TABLES[table], 3)))


@pytest.mark.parametrize("file", sorted(name for name in MANIFEST["files"] if name.startswith("tensors/")))
def test_the_arrays_of_a_tensor_file_are_the_documented_ones(file):
    name = file.removeprefix("tensors/")
    ranking = name.removesuffix(".safetensors") in MANIFEST["rankings"]
    text = part("A ranking" if ranking else f"`{name}`", 3)
    documented = {array: kind for cell, kind, *_ in rows(text) for array in names(cell)}
    with safe_open(str(RUN / file), "numpy") as opened:
        there = {key: DTYPES[opened.get_slice(key).get_dtype()] for key in opened.keys()}  # noqa: SIM118  (no mapping)
    assert there == documented
    assert set(KEY_ARRAYS.get(name.removesuffix(".safetensors"), "").split()) <= set(there)


def leaves(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every value of a manifest that is no object."""
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from leaves(inner, (*path, key))
        else:
            yield (*path, key)


def test_the_keys_of_the_manifest_are_the_documented_ones():
    documented = [
        (tuple(name.split(".")), OPTIONAL not in meaning)
        for cell, _, meaning in rows(part("Manifest", 2))
        for name in names(cell)
    ]
    there = list(leaves(MANIFEST))

    def fits(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
        same = (want in ("<name>", have) for want, have in zip(pattern, path, strict=True))
        return len(path) == len(pattern) and all(same)

    unknown = [path for path in there if not any(fits(path, pattern) for pattern, _ in documented)]
    missing = [pattern for pattern, always in documented if always and not any(fits(path, pattern) for path in there)]
    assert unknown == []
    assert missing == []


# -- links and versions ----------------------------------------------------------------------------

PAGES = sorted(
    path.relative_to(PROJECT).as_posix() for folder in (PROJECT, PROJECT / "docs") for path in folder.glob("*.md")
)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    file = PROJECT / page
    links = re.findall(r"\]\(([^)\s]+)\)", file.read_text(encoding="utf-8"))
    places = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [place for place in places if not (file.parent / place).exists()] == []


def test_the_citation_names_this_version():
    with (PROJECT / "pyproject.toml").open("rb") as opened:
        version = tomllib.load(opened)["project"]["version"]
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert citation["license"] == "MIT"
    assert f"## [{version}]" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
