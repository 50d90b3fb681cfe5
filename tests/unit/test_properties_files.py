"""Whatever is in a file, it is accepted and right, or refused in one sentence: a thousand generated files a kind."""

import csv
import gzip
import io
import json
import math
import tempfile
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from explorer.data.preferences import KINDS, load_preferences
from explorer.data.rows import ENDINGS
from explorer.data.sources import load_source
from explorer.data.suite_spec import SuiteSpec
from explorer.data.suites_io import load_suite
from explorer.engine.options import COMPARED as POSITIONS
from explorer.errors import ExplorerError
from explorer.models.pair_spec import DTYPES
from explorer.models.prompting import MAX_NEW_TOKENS
from explorer.neurons.artefacts import read_ranking, write_ranking
from explorer.neurons.scores import ChangeScores
from explorer.pipeline.config import read_build_config
from explorer.pipeline.ranking_methods import RANKING_METHODS
from explorer.runs.reader import open_run
from explorer.runs.writer import RunWriter
from explorer.schema import Dtype, Tokens
from explorer.studies import STUDIES, basis
from explorer.training.config import PairSource, Source, TrainStage, read_train_config

thousand = settings(
    max_examples=1_000,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def accepted(read, *args) -> Any:
    """What is read, or None where it is refused in one sentence."""
    try:
        return read(*args)
    except ExplorerError as problem:
        said = str(problem)
        assert said
        assert len(said.splitlines()) == 1
        assert len(said) < 1_500
        return None


def test_the_schema_says_what_the_models_say() -> None:
    assert set(get_args(Dtype)) == set(DTYPES)
    assert get_args(basis.Positions) == POSITIONS
    assert set(basis.ONE_MODEL) < set(get_args(basis.Method))
    assert set(RANKING_METHODS) == set(get_args(basis.Method))
    assert any(getattr(mark, "le", None) == MAX_NEW_TOKENS for mark in Tokens.__metadata__)


# -- suites ----------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30)


def plain(text: str) -> bool:
    """Whether a text is a prompt and stands for nothing else: no dialogue, not blank."""
    return bool(text.strip()) and not text.lstrip().startswith(("Human:", "[{"))


QUOTINGS = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
prompts = st.lists(texts.filter(plain), min_size=1, max_size=6, unique_by=lambda text: text.strip())


@st.composite
def suite_files(draw) -> tuple[str, bytes, list[str]]:
    """A well-formed file of prompts: its name, its bytes, and the prompts."""
    asked = draw(prompts)
    form = draw(st.sampled_from(["jsonl", "json", "csv", "tsv"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    if form in ("jsonl", "json"):
        ascii_only = draw(st.booleans())
        rows = [{"prompt": text, "n": n} for n, text in enumerate(asked)]
        written = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
        end = draw(st.sampled_from(["\n", "\r\n"]))
        content = (
            end.join(written) + end if form == "jsonl" else json.dumps(rows, indent=draw(st.sampled_from([None, 1])))
        )
    else:
        out = io.StringIO()
        separator = draw(st.sampled_from([",", ";", "\t", "|"]))
        quoting = csv.QUOTE_ALL if any("\r" in text for text in asked) else draw(st.sampled_from(QUOTINGS))
        writer = csv.writer(
            out, delimiter=separator, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))
        )
        alone = draw(st.booleans())
        writer.writerow(["prompt"] if alone else ["n", "Prompt", "more"])
        for n, text in enumerate(asked):
            writer.writerow([text] if alone else [n, text, ""])
        content = out.getvalue()
    data = content.encode(encoding)
    name = f"a.{form}"
    if draw(st.booleans()):
        data, name = gzip.compress(data, 1), f"{name}.gz"
    return name.upper() if draw(st.booleans()) else name, data, [text.strip() for text in asked]


@thousand
@given(file=suite_files())
def test_a_suite_is_read_as_it_was_meant(folder, file) -> None:
    name, content, asked = file
    (folder / name).write_bytes(content)
    assert [p.prompt for p in load_suite(str(folder / name))] == asked
    assert [p.prompt for p in load_source(SuiteSpec("x", file=name), folder / "b.toml")] == asked


@st.composite
def damaged(draw, whole) -> bytes:
    """Bytes with some of them changed, taken out or put in."""
    content = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        match draw(st.integers(0, 2)):
            case 0:
                content[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del content[place : place + draw(st.integers(1, 40))]
            case 2:
                content[place:place] = draw(st.binary(min_size=1, max_size=8))
    return bytes(content)


@thousand
@given(
    ending=st.sampled_from(ENDINGS),
    content=st.one_of(st.binary(max_size=80), damaged(suite_files().map(lambda file: file[1]))),
)
@example(ending=".jsonl", content=b'{"prompt": "\\udc80"}')
@example(ending=".csv", content=b"prompt\n\xff\n")
@example(ending=".json", content=b"\x1f\x8b")
def test_a_damaged_suite_is_read_or_refused(folder, ending, content) -> None:
    (folder / f"a{ending}").write_bytes(content)
    for found in (
        accepted(load_suite, str(folder / f"a{ending}")),
        accepted(load_source, SuiteSpec("x", file=f"a{ending}"), folder / "b.toml"),
    ):
        for prompt in found or []:
            assert prompt.prompt.strip()
            assert "\x00" not in content.decode("latin-1") or prompt.prompt.encode("utf-8")
        assert found is None or len({p.id for p in found}) == len(found) > 0


# -- preference pairs ------------------------------------------------------------------------------

COLUMNS = ("prompt", "chosen", "rejected", "question", "answer", "messages", "conversations", "Chosen", "id")
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["\n\nHuman: a\n\nAssistant: b", "#### 7", ""])
    | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(
            st.dictionaries(st.sampled_from(["role", "content", "from", "value"]), inner, max_size=3), max_size=3
        )
    ),
    max_leaves=4,
)


@thousand
@given(
    kind=st.sampled_from(list(KINDS)),
    rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), values, max_size=4), max_size=3),
)
def test_preference_pairs_are_read_or_refused(folder, kind, rows) -> None:
    (folder / "p.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    for pair in accepted(load_preferences, folder / "p.jsonl", kind) or []:
        assert pair.turns
        assert pair.chosen.strip()
        assert pair.chosen != pair.rejected
        assert all(role in ("user", "assistant", "system") and isinstance(text, str) for role, text in pair.turns)


# -- build files -----------------------------------------------------------------------------------

odd = st.one_of(
    st.sampled_from(
        [-3, -1, 0, 1, 5, 1_024, 10_000_000, 10**30, True, False, 0.05, 0.0, 1.0, 1.5, -0.1, math.nan, math.inf]
    ),
    st.sampled_from(
        ["", "bogus", "safety", "redteam_eval", "m2", "prompt", "float32", "../x", "~nobody/x", "a\x00b", "x" * 300]
    ),
    st.integers(),
    st.floats(),
    texts,
)
oddities = st.one_of(
    odd,
    st.lists(odd, max_size=3),
    st.lists(st.lists(odd, max_size=2), max_size=2),
    st.dictionaries(st.sampled_from(["suite", "file", "prompt", "limit", "a"]), odd, max_size=2),
)


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k)} = {toml(v)}' for k, v in value.items())} }}"
    return repr(value)


def write_toml(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(
        "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in document.items()), encoding="utf-8"
    )
    return path


def sound_build() -> dict[str, Any]:
    return {
        "name": "tiny",
        "pair": "demo",
        "scorers": ["refusal"],
        "rankings": {"safety": {"suite": "redteam_eval"}, "other": {"suite": "ordinary_eval"}},
        "answers": [{"suite": "redteam_eval", "fractions": [0.1]}],
    }


LISTED = [name for name, study in STUDIES.items() if study.listed]
SOUND_STUDIES: dict[str, dict[str, Any]] = {
    "detail": {},
    "series": {"suite": "redteam_eval", "answers": "redteam_eval"},
    "transfer": {"sources": ["safety"], "targets": ["redteam_eval"]},
    "categories": {"found_on": "redteam_train", "tested_on": "redteam_eval", "categories": ["violence"]},
    "seeds": {"rankings": ["safety", "other"]},
    "tax": {"pairs": [["safety", "other"]], "suites": ["redteam_eval"]},
    "ablation": {"b": "other"},
    "safeguard": {"suites": ["redteam_eval"]},
    "capability": {},
    "identification": {"rankings": ["other"], "suite": "redteam_eval"},
}


@st.composite
def build_documents(draw) -> dict[str, Any]:
    """A sound build file with up to three settings that are anything."""
    document = sound_build()
    for study in draw(st.lists(st.sampled_from(LISTED), max_size=2, unique=True)):
        document[study] = {**SOUND_STUDIES.get(study, {})}
    tables: list[tuple[dict[str, Any], Any]] = [
        (document["rankings"]["safety"], basis.RankingSpec),
        (document["answers"][0], basis.AnswerSpec),
        *((document[name], study.settings) for name, study in STUDIES.items() if name in document),
    ]
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.integers(0, 3)):
            table, kind = draw(st.sampled_from(tables))
            table[draw(st.sampled_from([f.name for f in fields(kind)] + ["colour"]))] = draw(oddities)
        else:
            names = [
                "name",
                "title",
                "description",
                "pair",
                "dtype",
                "max_new_tokens",
                "scorers",
                "cost",
                "suites",
                "adapters",
            ]
            document[draw(st.sampled_from([*names, "rankings", "answers", "source", "colour", *LISTED]))] = draw(
                oddities
            )
    return document


def check_values(spec: Any) -> None:
    """What every accepted table has in common, told by the settings' names and not by the schema."""
    for field in fields(spec):
        value = getattr(spec, field.name)
        for item in value if isinstance(value, tuple) else [value]:
            if is_dataclass(item):
                check_values(item)
            if isinstance(item, float):
                assert math.isfinite(item)
            if isinstance(item, str) and field.name not in ("title", "description", "label", "category"):
                assert not any(c in item for c in "\x00\n\r")
        if "limit" in field.name or field.name in ("neurons", "max_new_tokens", "gsm8k_tokens", "main_size"):
            assert type(value) is int
            assert value >= 1
        if "tokens" in field.name and "new" in field.name:
            assert value <= 1_024
        if field.name == "fraction":
            assert 0 < value <= 1
        if field.name in ("fractions", "random_fractions"):
            assert all(0 < item <= 1 for item in value)
            assert len(set(value)) == len(value)
        if field.name.endswith("seeds") and field.name != "seeds":
            assert all(type(item) is int and 0 <= item < 2**32 for item in value)
        if field.name == "windows" and isinstance(value, tuple):
            assert all(start >= 0 and size > 0 and start + size <= 1 + 1e-6 for start, size in value)


@thousand
@given(document=build_documents())
def test_a_build_file_is_accepted_and_right_or_refused(folder, document) -> None:
    config = accepted(read_build_config, write_toml(folder / "build.toml", document))
    if config is None:
        assert document != sound_build()
        return
    for spec in (config, *(one for asked in config.studies.values() for one in asked)):
        check_values(spec)
    assert config.dtype in DTYPES
    assert 1 <= config.max_new_tokens <= MAX_NEW_TOKENS
    for ranking in config.rankings:
        assert ranking.positions in POSITIONS
        assert ranking.answers in ("m1", "m2")
        assert ranking.limit == document["rankings"][ranking.name].get("limit", 200)
        assert isinstance(ranking.keep, bool)
    assert [a.suite for a in config.answers] == [table["suite"] for table in document.get("answers", [])]


@thousand
@given(
    text=st.one_of(st.text(max_size=60), damaged(st.just(b'name = "a"\n[rankings.safety]\nsuite = "redteam_eval"\n')))
)
def test_any_text_as_build_or_training_file_is_accepted_or_refused(folder, text) -> None:
    for name, read in (("b.toml", read_build_config), ("t.toml", read_train_config)):
        content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        (folder / name).write_bytes(content)
        config = accepted(read, folder / name)
        assert config is None or config.name


# -- training files --------------------------------------------------------------------------------


@st.composite
def training_documents(draw) -> dict[str, Any]:
    source: dict[str, Any] = {"suite": "redteam_train"}
    pairs: dict[str, Any] = {"file": "a.jsonl"}
    stage: dict[str, Any] = {}
    data: dict[str, Any] = {"refuse": [source], "pairs": [pairs]}
    document: dict[str, Any] = {"name": "t", "base": "org/base", "output": "out", "data": data, "stages": [stage]}
    for _ in range(draw(st.integers(0, 3))):
        table, names = draw(
            st.sampled_from(
                [
                    (source, [f.name for f in fields(Source)]),
                    (pairs, [f.name for f in fields(PairSource)]),
                    (stage, [f.name for f in fields(TrainStage)]),
                    (stage, [f.name for f in fields(TrainStage)]),
                    (data, ["refuse", "answer", "pairs", "brief", "keep", "answer_tokens"]),
                    (
                        document,
                        ["name", "base", "output", "seed", "noise", "start", "device", "dtype", "average_stages"],
                    ),
                    (document, ["data", "stages", "chat_template"]),
                ]
            )
        )
        table[draw(st.sampled_from([*names, "colour"]))] = draw(oddities)
    return document


@thousand
@given(document=training_documents())
def test_a_training_file_is_accepted_and_right_or_refused(folder, document) -> None:
    config = accepted(read_train_config, write_toml(folder / "train.toml", document))
    if config is None:
        return
    assert "/" not in config.name
    assert not (folder / "train.toml").resolve().is_relative_to(config.output)
    assert 1 <= config.answer_tokens <= MAX_NEW_TOKENS
    assert 0 <= config.seed < 2**32
    assert 0 <= config.noise < math.inf
    for stage in config.stages:
        assert stage.method in ("sft", "dpo")
        assert 0 < stage.learning_rate < math.inf
        assert 0 < stage.epochs < math.inf
        assert type(stage.batch_size) is int
        assert stage.batch_size >= 1
        assert not stage.micro_batch or stage.batch_size % stage.micro_batch == 0
        assert 0 <= stage.refuse_share <= 1
        assert stage.checkpoints >= 1
    for source in (*config.refuse, *config.answer, *config.brief, *config.pairs, *config.keep):
        assert type(source.limit) is int
        assert min(source.limit, source.skip) >= 0


# -- rankings --------------------------------------------------------------------------------------

wild = st.sampled_from(
    ["", "nan", "inf", "-1", "1e300", "99999999999", "9" * 20, "1.5", "1_0", "0x1", "one", "-0.5", "1,5", " 2 "]
)
cells = st.tuples(
    st.integers(0, 5).map(str) | wild,
    st.integers(0, 9).map(str) | wild,
    st.floats(0, 1e6, width=32).map(repr) | wild,
)


@thousand
@given(rows=st.lists(cells, min_size=1, max_size=6), separator=st.sampled_from([",", ";", "\t"]))
def test_a_ranking_in_text_is_accepted_and_right_or_refused(folder, rows, separator) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows([("layer", "neuron", "score"), *rows])
    (folder / "r.csv").write_bytes(out.getvalue().encode())
    changes = accepted(read_ranking, folder / "r.csv")
    meant = [meaning(row, separator) for row in rows]
    places = [(layer, neuron) for layer, neuron, _ in filter(None, meant)]
    if None in meant or len(set(places)) < len(places):
        assert changes is None
        return
    if changes is None:  # signed scores of a part of a layer
        assert any(score < 0 for _, _, score in meant)
        return
    assert changes.scores.shape == (max(p[0] for p in places) + 1, max(p[1] for p in places) + 1)
    for layer, neuron, score in meant:
        assert changes.scores[layer, neuron] == np.float32(score)
    assert sorted({layer for layer, _ in places}) == sorted(set(range(changes.n_layers)) - set(changes.excluded_layers))


def meaning(row: tuple[str, str, str], separator: str) -> tuple[int, int, float] | None:
    """What a row says, told another way than the reader's; None where it says nothing that can be."""
    numbers = []
    for cell in row:
        text = cell.strip().replace(",", "." if separator != "," else "no")
        if "_" in text or "x" in text:
            return None
        try:
            numbers.append(float(text))
        except ValueError:
            return None
    layer, neuron, score = numbers
    whole = all(math.isfinite(x) and x >= 0 and x == int(x) for x in (layer, neuron))
    if not whole or layer >= 2_000 or neuron >= 2_000_000 or not abs(score) <= 3.4028234e38:
        return None
    return int(layer), int(neuron), score


@pytest.fixture(scope="module")
def tensor_file(folder) -> bytes:
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3) for _ in range(5)]
    return write_ranking(ChangeScores(arrays[0], 1, *arrays[1:]), folder / "whole.pt").read_bytes()


@thousand
@given(data=st.data())
def test_a_damaged_ranking_in_tensors_is_accepted_or_refused(folder, tensor_file, data) -> None:
    content = data.draw(st.one_of(st.binary(max_size=60), damaged(st.just(tensor_file))))
    (folder / "d.pt").write_bytes(content)
    changes = accepted(read_ranking, folder / "d.pt")
    assert changes is None or (np.isfinite(changes.scores).all() and changes.scores.ndim == 2)


tensors = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(0, 3)).map(torch.zeros),
    st.lists(st.floats(width=32), min_size=4, max_size=4).map(lambda x: torch.tensor(x).reshape(2, 2)),
    st.lists(st.integers(-3, 10**12), min_size=4, max_size=4).map(lambda x: torch.tensor(x).reshape(2, 2)),
    st.just(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])),
    st.just(torch.eye(2).to_sparse()),
    st.just(torch.ones(2, 2, dtype=torch.complex64)),
    st.just(torch.ones(2, 2, dtype=torch.bool)),
    st.just(torch.zeros(1).expand(10**5, 10**5)),
)


@thousand
@given(saved=st.one_of(st.lists(tensors, max_size=6).map(tuple), st.tuples(tensors, tensors), tensors, values))
def test_any_tensors_as_a_ranking_are_accepted_and_right_or_refused(folder, saved) -> None:
    assume(saved is not None)
    torch.save(saved, folder / "t.pt")
    changes = accepted(read_ranking, folder / "t.pt")
    if changes is not None:
        assert np.isfinite(changes.scores).all()
        assert (changes.scores >= 0).all()
        np.testing.assert_array_equal(changes.scores, saved[0].float().numpy())
        assert (np.diff(changes.scores.reshape(-1)[changes.order]) <= 0).all()


# -- runs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(folder) -> tuple[Path, str]:
    """A small run, and its manifest as it was written."""
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3) for _ in range(5)]
    writer = RunWriter(folder / ".build-run")
    about = writer.change_scores("safety", ChangeScores(arrays[0], 1, *arrays[1:]))
    writer.table("sparsity", pd.DataFrame({"ranking": ["safety"], "fraction": [0.1], "k": [1]}))
    manifest = {"title": "t", "pair": {"n_layers": 2, "n_neurons": 3}, "rankings": {"safety": about}}
    writer.publish(manifest, folder / "run")
    return folder / "run", (folder / "run" / "manifest.json").read_text()


def places_in(value: Any, place: tuple = ()) -> list[tuple]:
    """The place of every part of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(found for key, part in inner for found in places_in(part, (*place, key)))]


def test_a_manifest_is_accepted_and_right_or_refused(run) -> None:
    folder, written = run
    places = places_in(json.loads(written))[1:]

    @thousand
    @given(place=st.sampled_from(places), part=values | st.dictionaries(texts, values, max_size=2) | st.just("../../x"))
    def holds(place, part) -> None:
        manifest = json.loads(written)
        holder = manifest
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = part
        (folder / "manifest.json").write_text(json.dumps(manifest))
        found = accepted(open_run, folder)
        if found is None:
            return
        assert all(name.startswith(("tensors/", "tables/")) and ".." not in name for name in found.manifest["files"])
        assert all("\n" not in problem for problem in found.check())
        for ranking in found.rankings:
            changes = accepted(found.change_scores, ranking)
            assert changes is None or changes.scores.shape == (found.n_layers, found.n_neurons) == (2, 3)
        for table in found.tables:
            accepted(found.whole_table, table)

    holds()
