"""What a page says, out of Streamlit's test harness, and what of it is no word for people.

wrong_words(said(app))      # ["redteam_eval in “64 prompts of redteam_eval”"]
"""

import html
import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pyarrow as pa
from google.protobuf.message import Message
from streamlit.proto.ArrowData_pb2 import ArrowData

from explorer.ui.typeset import MOST_CELLS

WRONG = re.compile(
    r"""(?<![\w/.@-])[A-Za-z0-9]*[a-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+(?![\w/@-])   # a raw name
    |(?<![\w.)\]–-])-(?=\.?\d)[\d.]*                                              # a minus that is a hyphen
    |(?<![\w'’·-])(?:nan|NaN|None|null|undefined|inf|<NA>|NaT)(?![\w'’-])         # a missing value
    |(?<![\w:/.])/(?:[\w.-]+/)+[\w.-]+                                         # where a file lies on this machine
    |\d[\d.]*e[+-]?\d+(?![\w-])  # a power of ten as programs write it
    |\d[\d.]*%(?!\d)""",  # percent without its space
    re.VERBOSE,
)
FIELDS_WORDS = {"down_proj"}
"""Names that the field itself uses."""

_NOT_SHOWN = {"id", "form_id", "url", "user_key", "query_string", "page", "page_script_hash", "url_path", "css_key"}
_NOT_SHOWN |= {"query_param_key", "file_name", "theme", "spec", "config", "language", "icon", "element_id", "color"}
_NOT_SHOWN |= {"format", "selection_mode", "columns"}
_NO_WORDS = re.compile(r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)|:material/\w+:|<[^>]*>|https?://\S+|[0-9a-f]{32}|[%]\{[^}]*\}")
"""Parts of Markdown, HTML and hover texts that are not read as words: commands and file names, addresses, icons."""

_TOKENS = re.compile(r"<\|\w+\|>")

_FROM_MODELS = {"prompt", "answer", "token", "text", "lab", "unpatched", "patched", "aligned", "word", "shown", "label"}
"""Columns that hold what models or people wrote, and addresses."""


def wrong_words(texts: Iterable[str], known: Collection[str] = ()) -> list[str]:
    """Raw names, hyphens for minus signs, and missing values as programs write them, each with what it stands in.

    Args:
        texts: what a page says.
        known: raw names that people meet as such: they type them.
    """
    found = {}
    for text in texts:
        read = _TOKENS.sub(" ", html.unescape(_NO_WORDS.sub(" ", text.replace("\\", ""))))
        for match in WRONG.finditer(read):
            if match[0] not in FIELDS_WORDS and match[0] not in known:
                around = read[max(0, match.start() - 30) : match.end() + 30]
                found.setdefault(match[0], f"{match[0]} in “{' '.join(around.split())}”")
    return list(found.values())


def said(app: Any) -> Iterator[str]:
    """All texts of a page: elements, options, columns and words of tables, titles and names in charts."""
    for block in (app.main, app.sidebar):
        for node in block:
            yield from _of(node)


def _of(node: Any) -> Iterator[str]:
    proto = getattr(node, "proto", None)
    if node.type in ("text", "code", "text_area", "text_input"):  # what people and models wrote
        yield str(getattr(proto, "label", ""))
    elif node.type == "dataframe":
        yield from _of_table(proto)
    elif isinstance(proto, Message):
        if node.type == "vega_lite_chart":
            yield from _of_chart(proto)
        elif node.type == "plotly_chart":
            spec = json.loads(proto.spec)
            yield from _strings(spec, {"text", "name", "title", "hovertemplate", "ticktext", "label"})
        yield from _texts(proto)


def _texts(proto: Message) -> Iterator[str]:
    for field, value in proto.ListFields():
        if field.name in _NOT_SHOWN:
            continue
        for one in value if field.is_repeated else [value]:
            if isinstance(one, str):
                yield one
            elif isinstance(one, Message):
                yield from _texts(one)


def _of_table(proto: Message) -> Iterator[str]:
    settings = json.loads(proto.columns or "{}")
    table, written = pa.ipc.open_stream(proto.arrow_data.data).read_all(), displayed(proto.arrow_data)
    for name in list(proto.column_order) or table.column_names:
        about = settings.get(name) or {}
        if name in table.column_names and not about.get("hidden") and not name.startswith("__index"):
            yield about.get("label") or name
            yield about.get("help") or ""
            yield from () if name in _FROM_MODELS else _words_of((written or table).column(name))
            form = (about.get("type_config") or {}).get("format")
            if (written is None or form) and table.num_rows * table.num_columns <= MOST_CELLS:
                yield from (f"{wrong}, in the column {name}" for wrong in _by_the_browser(table.column(name), form))
            if table.column(name).null_count and not proto.HasField("placeholder"):
                yield f"None, in the column {name}"  # as the browser writes it
    yield proto.alt


def displayed(data: ArrowData) -> pa.Table | None:
    """The texts that a table shows for its values, where it brings them."""
    texts = data.styler.display_values
    return pa.ipc.open_stream(texts).read_all() if texts else None


def _by_the_browser(column: pa.ChunkedArray, form: str | None) -> Iterator[str]:
    """What is wrong with how the browser writes numbers: a hyphen before those below 0, and no space in "5%"."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        numbers = column.drop_null().to_pylist()
        yield from [f"{min(numbers):g}"] if numbers and min(numbers) < 0 else []
        yield from ["5%"] if form == "percent" else []


def _of_chart(proto: Message) -> Iterator[str]:
    spec = json.loads(proto.spec)
    yield from _strings(spec, {"title", "text", "description"})
    shown = set(_fields(spec)) - _FROM_MODELS
    for data in (proto.data.data, *(one.data.data for one in proto.datasets)):
        if data:
            table = pa.ipc.open_stream(data).read_all()
            for name in shown & set(table.column_names):
                yield from _words_of(table.column(name))


def _words_of(column: pa.ChunkedArray) -> Iterator[str]:
    """The words in a column; addresses are none."""
    yield from (
        value for value in column.to_pylist() if isinstance(value, str) and not re.match(r"\w+\?|https?:", value)
    )


def _fields(spec: Any) -> Iterator[str]:
    """The fields whose values are drawn or told as words."""
    if isinstance(spec, dict):
        if spec.get("type") in ("nominal", "ordinal") and isinstance(spec.get("field"), str):
            yield spec["field"]
        for value in spec.values():
            yield from _fields(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from _fields(value)


def _strings(spec: Any, keys: set[str]) -> Iterator[str]:
    if isinstance(spec, dict):
        for name, value in spec.items():
            if name in keys:
                yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))
            yield from _strings(value, keys)
    elif isinstance(spec, list):
        for value in spec:
            yield from _strings(value, keys)
