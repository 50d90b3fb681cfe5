"""What a page says, out of Streamlit's test harness, and what of it is no word for people.

wrong_words(said(app))      # ["redteam_eval", "-0.5", "nan"]
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from google.protobuf.message import Message

WRONG = re.compile(
    r"""(?<![\w/.@-])[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+(?![\w/@-])   # a raw name
    |(?<![\w.)\]–-])-(?=\.?\d)[\d.]*                             # a minus that is a hyphen
    |(?<![\w'’-])(?:nan|NaN|None|null|undefined|inf|<NA>|NaT)(?![\w'’-])""",
    re.VERBOSE,
)
FIELDS_WORDS = {"down_proj"}
"""Names that the field itself uses."""

_NOT_SHOWN = {"id", "form_id", "url", "user_key", "query_string", "page", "page_script_hash", "url_path", "columns"}
_NOT_SHOWN |= {"query_param_key", "file_name", "theme", "spec", "config", "language", "icon", "element_id", "event_name"}
_NOT_SHOWN |= {"format", "selection_mode", "d3_format", "color", "datetime_format", "deck_gl_json_spec", "css_key"}
_CODE = re.compile(r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)|:material/\w+:|<[^>]*>|https?://\S+")
"""Parts of Markdown and HTML that are not read as words: commands and names of files, addresses, icons."""

_FROM_MODELS = {"prompt", "answer", "token", "text", "lab", "unpatched", "patched", "aligned", "word"}
"""Columns that hold what models or people wrote, and addresses."""


def wrong_words(texts: Iterable[str]) -> list[str]:
    """Raw names, hyphens for minus signs, and missing values as programs write them, each with what it stands in."""
    found = {}
    for text in texts:
        read = _CODE.sub(" ", text)
        for match in WRONG.finditer(read):
            if match[0] not in FIELDS_WORDS:
                around = read[max(0, match.start() - 30) : match.end() + 30]
                found.setdefault(match[0], f"{match[0]} in “{' '.join(around.split())}”")
    return list(found.values())


def said(app: Any) -> Iterator[str]:
    """All texts of a page: elements, options, cells of tables, titles and names in charts."""
    for block in (app.main, app.sidebar):
        for node in block:
            yield from _of(node)


def _of(node: Any) -> Iterator[str]:
    kind = getattr(node, "type", "")
    proto = getattr(node, "proto", None)
    if kind in ("text", "code", "text_area", "text_input", "imgs"):
        yield str(getattr(proto, "label", ""))
        return
    if kind in ("arrow_data_frame", "dataframe"):
        yield from _of_table(proto)
        return
    if isinstance(proto, Message):
        if kind in ("arrow_vega_lite_chart", "vega_lite_chart"):
            yield from _of_chart(proto)
        elif kind == "plotly_chart":
            yield from _strings(json.loads(proto.spec), {"text", "name", "title", "hovertemplate", "ticktext", "label"})
        yield from _texts(proto)


def _texts(proto: Message) -> Iterator[str]:
    for field, value in proto.ListFields():
        if field.name in _NOT_SHOWN:
            continue
        for one in value if field.is_repeated and not isinstance(value, str) else [value]:
            if isinstance(one, str):
                yield one
            elif isinstance(one, Message):
                yield from _texts(one)


def _of_table(proto: Message) -> Iterator[str]:
    settings = json.loads(proto.columns or "{}")
    table = pa.ipc.open_stream(proto.arrow_data.data if proto.HasField("arrow_data") else proto.data).read_all()
    shown = list(proto.column_order) or table.column_names
    for name in shown:
        if name not in table.column_names or (settings.get(name) or {}).get("hidden"):
            continue
        yield (settings.get(name) or {}).get("label") or name
        yield str((settings.get(name) or {}).get("help") or "")
        values = table.column(name).to_pylist()
        if name not in _FROM_MODELS:
            yield from {value for value in values if isinstance(value, str) and "://" not in value}
    yield proto.alt if hasattr(proto, "alt") else ""


def _of_chart(proto: Message) -> Iterator[str]:
    spec = json.loads(proto.spec)
    yield from _strings(spec, {"title", "text", "description"})
    fields = set(_nominal(spec)) - _FROM_MODELS
    for data in [*proto.datasets, proto]:
        raw = data.data.data if data.HasField("data") else b""
        if not raw:
            continue
        table = pa.ipc.open_stream(raw).read_all()
        for name in fields & set(table.column_names):
            yield from {value for value in table.column(name).to_pylist() if isinstance(value, str)}


def _nominal(spec: Any) -> Iterator[str]:
    """The fields whose values are drawn or told as words."""
    if isinstance(spec, dict):
        if spec.get("type") in ("nominal", "ordinal") and isinstance(spec.get("field"), str):
            yield spec["field"]
        for value in spec.values():
            yield from _nominal(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from _nominal(value)


def _strings(spec: Any, keys: set[str]) -> Iterator[str]:
    if isinstance(spec, dict):
        for name, value in spec.items():
            if name in keys and isinstance(value, str):
                yield value
            elif name in keys and isinstance(value, list):
                yield from (one for one in value if isinstance(one, str))
            else:
                yield from _strings(value, keys)
            if name in keys and isinstance(value, dict):
                yield from _strings(value, keys)
    elif isinstance(spec, list):
        for value in spec:
            yield from _strings(value, keys)
