"""Whatever stands in a pair file: it is accepted and means what it says, or is refused in one sentence."""

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.errors import ExplorerError
from explorer.models.pair_file import read_pair_file
from explorer.models.pair_spec import DEVICE_MAPS, DTYPES, PairSpec
from explorer.models.places import is_hub_id, split_revision

MANY = settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
places = st.one_of(
    st.sampled_from(
        ["base", "org/model", "org/model@step1", "embedded:smollm2-135m-instruct", "../x", "x.gguf", "~", ""]
    ),
    texts,
)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    texts,
    st.dates().map(lambda day: day),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
models = st.one_of(
    st.fixed_dictionaries(
        {"base": places}, optional={"adapters": st.lists(places, max_size=3), "revision": texts | st.just("main")}
    ),
    st.fixed_dictionaries({"base": anything}, optional={"adapters": anything, "revision": anything}),
    anything,
)
right = st.fixed_dictionaries(
    {"base": st.sampled_from(["base", "org/model", "org/model@step1", "embedded:smollm2-135m-instruct", "x.gguf"])},
    optional={"adapters": st.lists(st.sampled_from(["ia3", "org/lora"]), max_size=3)},
)
known = {
    "name": st.sampled_from(["mine", "a pair"]),
    "dtype": st.sampled_from(DTYPES),
    "device": st.sampled_from(["cpu", "auto", "cuda:0"]),
    "quantisation": st.sampled_from(["", "4bit", "8bit"]),
    "chat_template": st.sampled_from(["own", "m1", "m2", "tulu"]),
    "template_arguments": st.dictionaries(st.sampled_from(["enable_thinking", "x"]), st.booleans() | st.integers()),
    "date": st.dates(),
}
wild = {
    **{name: value | anything for name, value in known.items()},
    "chat_template": st.just("qa.jinja") | anything,
    "device_map": st.sampled_from(DEVICE_MAPS) | st.dictionaries(texts, st.integers(-2, 3) | texts) | anything,
    "series": st.fixed_dictionaries({}, optional={"steps": anything, "folder": anything, "revisions": anything})
    | st.fixed_dictionaries({"revisions": st.dictionaries(st.sampled_from(["1", "20", "x"]), texts, min_size=2)}),
    "colour": anything,
}
files = st.one_of(
    st.fixed_dictionaries({"m1": right, "m2": right}, optional=known),
    st.fixed_dictionaries({"m1": right, "m2": models}, optional=wild),
    st.fixed_dictionaries({"m1": models, "m2": models}, optional=wild),
)


def toml(value) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_text(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "nan" if math.isnan(value) else ("-" * (value < 0) + "inf") if math.isinf(value) else repr(value)
    if isinstance(value, str):
        return toml_text(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def toml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=True).replace("\x7f", "\\u007f") if text.isascii() else _long(text)


def _long(text: str) -> str:
    return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in text) + '"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "base").mkdir()
    (folder / "qa.jinja").write_text("{{ messages[0]['content'] }}")
    return folder


def check(path: Path) -> PairSpec | None:
    """What the file says; None where it is refused, in one sentence that names it."""
    try:
        return read_pair_file(path)
    except ExplorerError as problem:
        said = str(problem)
    assert "\n" not in said
    assert str(path) in said
    assert len(said) < 1200
    return None


accepted: list[bool] = []


@MANY
@given(raw=files)
def test_a_pair_file_is_right_or_refused_in_one_sentence(folder, raw):
    path = folder / "pair.toml"
    path.write_text("\n".join(f"{key} = {toml(value)}" for key, value in raw.items()), encoding="utf-8")
    spec = check(path)
    accepted.append(spec is not None)
    if spec is None:
        return
    assert "colour" not in raw
    assert not {"device", "device_map"} <= set(raw)
    for name, model in (("m1", spec.m1), ("m2", spec.m2)):
        said = raw[name]["base"]
        base, revision = split_revision(said)
        assert model.base in (base, str((folder / os.path.expanduser(base)).resolve()), said)
        assert model.revision == (raw[name].get("revision") or revision)
        assert not model.revision or is_hub_id(model.base)
        assert len(model.adapters) == len(raw[name].get("adapters", []))
    assert spec.dtype == raw.get("dtype", "auto")
    assert spec.dtype in DTYPES
    assert spec.quantisation in ("", "4bit", "8bit")
    assert spec.name == raw.get("name", "pair")
    assert not any(isinstance(v, float) and not math.isfinite(v) for v in spec.template_arguments.values())
    assert all(a.step < b.step for a, b in zip(spec.series, spec.series[1:], strict=False))


def test_some_of_them_were_right():
    assert sum(accepted) > 20
    assert len(accepted) - sum(accepted) > 20


@MANY
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_refused_in_one_sentence(folder, content):
    path = folder / "bytes.toml"
    path.write_bytes(content)
    assert check(path) is None


@pytest.mark.parametrize(
    "content",
    [
        "x = " + "[" * 5000,
        "x = " + "9" * 5000,
        "m1 = 5\nm2 = 0x" + "f" * 5000,
        "[m1]\nbase = 1\n[m1]\nbase = 2",
        "\x00",
    ],
)
def test_what_breaks_readers_of_toml_is_one_sentence(folder, content):
    path = folder / "odd.toml"
    path.write_text(content)
    assert check(path) is None


def test_a_file_with_a_byte_order_mark_is_read(folder):
    path = folder / "bom.toml"
    path.write_text('﻿[m1]\nbase = "base"\n[m2]\nbase = "base"\n', encoding="utf-8")
    assert read_pair_file(path).m1.base == str(folder / "base")
