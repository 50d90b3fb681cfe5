"""A run that comes from somebody else: none of its strings is Markdown anywhere, in no widget, caption or tooltip."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from google.protobuf.message import Message

from explorer.digests import sha256_file
from explorer.ui.pages import PAGES

MARK = " [x](http://evil.example/a) ![i](http://evil.example/i.png) **b** $y$ :red[r] https://evil.example/z"
LIVE = ("](http://evil", "https://evil", "**b**", "$y$", ":red[")
PLAIN = {
    ("Text", "body"),
    ("Code", "code_text"),
    ("Selectbox", "options"),
    ("Selectbox", "raw_value"),
    ("MultiSelect", "options"),
    ("TextArea", "default"),
    ("TextArea", "value"),
    ("TextInput", "default"),
    ("TextInput", "value"),
    ("Html", "body"),  # made and escaped by report.diff and report.strip, which have tests of their own
    ("ArrowVegaLiteChart", "spec"),
    ("VegaLiteChart", "spec"),
    ("ArrowNamedDataSet", "name"),
    ("PlotlyChart", "spec"),
}
"""Fields in which the browser shows a string as it is."""

KEYS = {"set", "column", "part", "direction", "measure", "model", "score", "method", "statistic", "what", "kind", "of"}
"""Columns whose values are a study's own words, by which pages look up."""


@pytest.fixture(scope="module")
def foreign(small_run, tmp_path_factory) -> Path:
    """A copy of the small run in which every string that a stranger may choose holds Markdown."""
    folder = tmp_path_factory.mktemp("foreign") / "small"
    shutil.copytree(small_run, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    suites = {name: f"{name}{MARK}" for name in manifest["suites"]}

    def marked(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {suites.get(k, k): marked(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [marked(v, key) for v in value]
        free = (
            "title",
            "description",
            "label",
            "suite",
            "base",
            "name",
            "refusal",
            "beaver:made-up",
            "dtype",
            "created",
        )
        return f"{value}{MARK}" if isinstance(value, str) and key in free else value

    kept = {key: manifest[key] for key in ("name", "files", "tables", "schema_version", "decoding", "score_columns")}
    manifest = marked(manifest) | kept
    for file in (folder / "tables").glob("*.parquet"):
        table = pd.read_parquet(file)
        for column in table.columns:
            if not pd.api.types.is_string_dtype(table[column]) or column in KEYS:
                continue
            if column == "suite":
                table[column] = table[column].map(lambda s: suites.get(s, s))
            elif column in ("prompt", "answer", "category", "token", "prompt_id", "reason", "words", "text"):
                table[column] = table[column].map(lambda s: f"{s}{MARK}" if isinstance(s, str) else s)
        table.to_parquet(file)
        name = f"tables/{file.name}"
        manifest["files"][name] = {"sha256": sha256_file(file), "bytes": file.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def strings(message: Message) -> Iterator[tuple[str, str, str]]:
    """Type, field and value of every string of a message and those in it."""
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if isinstance(one, Message):
                yield from strings(one)
            elif isinstance(one, str):
                yield message.DESCRIPTOR.name, field.name, one


def live(app) -> list[tuple[str, str, str]]:
    """The strings of a page in which something of the stranger's is alive."""
    found = []
    for element in app._tree:
        proto = getattr(element, "proto", None)
        if isinstance(proto, Message):
            found += [
                (kind, field, text[:300])
                for kind, field, text in strings(proto)
                if field not in ("id", "key") and (kind, field) not in PLAIN and any(sign in text for sign in LIVE)
            ]
    return found


TABS = {
    "neurons": ("List", "Both rankings", "One by one", "Distribution", "Layers", "Map"),
    "scores": (None,),
}


@pytest.mark.parametrize("page", [entry.url_path for entry in PAGES])
def test_no_string_of_a_run_is_alive(page, foreign, monkeypatch, open_page):
    monkeypatch.setenv("EXPLORER_RUNS", str(foreign.parent))
    file = next(entry.file for entry in PAGES if entry.url_path == page)
    for tab in TABS.get(page, (None,)):
        app = open_page(file, **({} if tab is None else {"view": tab}))
        assert live(app) == []
