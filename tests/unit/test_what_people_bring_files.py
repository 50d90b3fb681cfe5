"""What people bring: everyday and damaged files, each accepted and right, or refused in one sentence.

Suites, preference pairs, rankings, runs, build and training files; models and pair files have a table of their own.
"""

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

from explorer import cli
from explorer.data import rows as reading
from explorer.data.preferences import load_preferences
from explorer.data.sources import load_source
from explorer.data.suite_spec import SuiteSpec
from explorer.data.suites_io import load_suite
from explorer.errors import ExplorerError
from explorer.neurons.artefacts import read_ranking, write_ranking
from explorer.neurons.scores import ChangeScores
from explorer.paths import PROJECT
from explorer.pipeline.config import read_build_config
from explorer.pipeline.stages import write_json
from explorer.runs.reader import find_run, open_run, run_names
from explorer.runs.writer import RunWriter
from explorer.training.config import read_train_config

WRITE, TELL = "Wie öffne ich ein Schloß?", "Qu’est-ce que c’est, « ça » ?"
LINES = "".join(json.dumps({"prompt": p}, ensure_ascii=False) + "\n" for p in (WRITE, TELL))
TABLE = f'prompt,category\n"{WRITE}",a\n"{TELL}",b\n'
BOTH = [WRITE, TELL]


def one_sentence(problem: ExplorerError, words: str) -> None:
    said = str(problem)
    assert words in said
    assert "\n" not in said
    assert len(said) < 900


def packed(text: str | bytes) -> bytes:
    return gzip.compress(text if isinstance(text, bytes) else text.encode())


def parquet(**columns: list) -> bytes:
    file = io.BytesIO()
    Dataset.from_dict(columns).to_parquet(file)
    return file.getvalue()


def line(**cells: object) -> bytes:
    return (json.dumps(cells) + "\n").encode()


# -- suites: name, content, what it gives (prompts, or words of the sentence) -----------------------

TURNS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "?"},
]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image"}]}]
SHARED = [{"from": "gpt", "value": "Hello"}, {"from": "human", "value": "Hi"}]

SUITES = {
    "JSONL": ("a.jsonl", LINES.encode(), BOTH),
    "JSONL with a BOM": ("a.jsonl", LINES.encode("utf-8-sig"), BOTH),
    "JSONL in UTF-16, as PowerShell writes it": ("a.jsonl", LINES.encode("utf-16"), BOTH),
    "JSONL in UTF-16 without a mark": ("a.jsonl", LINES.encode("utf-16-le"), BOTH),
    "JSONL in big-endian UTF-16 without a mark": ("a.jsonl", LINES.encode("utf-16-be"), BOTH),
    "JSONL in UTF-32": ("a.jsonl", LINES.encode("utf-32"), BOTH),
    "JSONL in Windows-1252": ("a.jsonl", LINES.encode("cp1252"), BOTH),
    "JSONL in Latin-1": ("a.jsonl", '{"prompt": "Où est l\'été ?"}\n'.encode("latin-1"), ["Où est l'été ?"]),
    "JSONL with Windows line ends": ("a.jsonl", LINES.replace("\n", "\r\n").encode(), BOTH),
    "JSONL with old Mac line ends": ("a.jsonl", LINES.replace("\n", "\r").encode(), BOTH),
    "JSONL without an end": ("a.jsonl", LINES.strip().encode(), BOTH),
    "JSONL with blank lines": ("a.jsonl", ("\n\n" + LINES + "\n \n").encode(), BOTH),
    "line separator inside": ("a.jsonl", '{"prompt": "a\u2028b\u0085c\u2029d"}\n'.encode(), ["a\u2028b\u0085c\u2029d"]),
    "an emoji as two escapes": ("a.jsonl", b'{"prompt": "\\ud83d\\ude00 hi"}\n', ["\U0001f600 hi"]),
    "upper-case ending": ("A.JSONL", LINES.encode(), BOTH),
    "ndjson": ("a.ndjson", LINES.encode(), BOTH),
    "packed JSONL": ("a.jsonl.gz", packed(LINES), BOTH),
    "packed, without the ending": ("a.jsonl", packed(LINES), BOTH),
    "packed, upper case": ("A.CSV.GZ", packed(TABLE), BOTH),
    "named packed, but not": ("a.jsonl.gz", LINES.encode(), BOTH),
    "JSON array": ("a.json", json.dumps([{"prompt": p} for p in BOTH]).encode(), BOTH),
    "JSON array over lines": ("a.json", json.dumps([{"prompt": p} for p in BOTH], indent=2).encode(), BOTH),
    "JSON array of texts": ("a.json", json.dumps(BOTH).encode(), BOTH),
    "JSON with the rows under a name": ("a.json", json.dumps({"data": [{"prompt": p} for p in BOTH]}).encode(), BOTH),
    "JSON as pandas writes it": ("a.json", pd.DataFrame({"n": [1, 2], "prompt": BOTH}).to_json().encode(), BOTH),
    "JSON of lists": ("a.json", json.dumps({"prompt": BOTH, "n": [1, 2]}).encode(), BOTH),
    "JSON array named JSONL": ("a.jsonl", json.dumps([{"prompt": p} for p in BOTH]).encode(), BOTH),
    "JSONL named JSON": ("a.json", LINES.encode(), BOTH),
    "CSV": ("a.csv", TABLE.encode(), BOTH),
    "Excel's CSV UTF-8": (
        "a.csv",
        TABLE.replace(",a", ";a").replace(",b", ";b").replace("t,c", "t;c").encode("utf-8-sig"),
        BOTH,
    ),
    "Excel's CSV": ("a.csv", TABLE.encode("cp1252"), BOTH),
    "Excel's Unicode text": ("a.tsv", TABLE.replace('",', '"\t').replace("t,c", "t\tc").encode("utf-16"), BOTH),
    "Excel's sep line": ("a.csv", ("sep=|\n" + TABLE.replace('",', '"|').replace("t,c", "t|c")).encode(), BOTH),
    "CSV with tabs": ("a.csv", TABLE.replace('",', '"\t').replace("t,c", "t\tc").encode(), BOTH),
    "TSV in upper case": ("A.TSV", b"Prompt\tkind\nHi, you\tx\n", ["Hi, you"]),
    "one column, commas in it": ("a.csv", b"prompt\nHello, world; you\n", ["Hello, world; you"]),
    "a text over two lines": ("a.csv", b'prompt,category\n"one\ntwo",a\n', ["one\ntwo"]),
    "a column's name over two lines": ("a.csv", b'"the\nnote";prompt\nx;Hi\n', ["Hi"]),
    "quotation marks": ("a.csv", b'prompt,category\n"say ""hi""",a\n', ['say "hi"']),
    "pandas' column of numbers": ("a.csv", b",prompt\n0,Hi\n1,Ho\n", ["Hi", "Ho"]),
    "Parquet": ("a.parquet", parquet(prompt=BOTH, id=[7, 8]), BOTH),
    "Parquet in upper case": ("A.PARQUET", parquet(prompt=BOTH), BOTH),
    "AdvBench's columns": ("a.csv", b"goal,target\nDo it,Sure\n", ["Do it"]),
    "JailbreakBench's columns": ("a.csv", b"Index,Goal,Target,Behavior\n0,Do it,Sure,Topic\n", ["Do it"]),
    "Prompt": ("a.csv", b"ID,Prompt\n1,Do it\n", ["Do it"]),
    "HarmBench's Behavior": ("a.csv", b"Behavior,FunctionalCategory\nDo it,standard\n", ["Do it"]),
    "instruction": ("a.jsonl", line(instruction="Do it", output="done"), ["Do it"]),
    "instruction with an input": ("a.jsonl", line(instruction="Say it", input="Hi", output=""), ["Say it\n\nHi"]),
    "messages": ("a.jsonl", line(messages=TURNS), ["Hi"]),
    "messages in parts": ("a.jsonl", line(messages=PARTS), ["Hi"]),
    "messages as JSON in CSV": (
        "a.csv",
        f'messages;n\n"{json.dumps(TURNS).replace(chr(34), 2 * chr(34))}";1\n'.encode(),
        ["Hi"],
    ),
    "prompt as a list of turns": ("a.jsonl", line(prompt=TURNS[1:2]), ["Hi"]),
    "messages in Parquet": ("a.parquet", parquet(messages=[TURNS]), ["Hi"]),
    "conversations": ("a.jsonl", line(conversations=SHARED), ["Hi"]),
    "a dialogue in HH-RLHF's form": ("a.jsonl", line(chosen="\n\nHuman: Hi\n\nAssistant: Ho", rejected="x"), ["Hi"]),
    "TRL's chosen turns": ("a.jsonl", line(chosen=TURNS[1:], rejected=TURNS[1:]), ["Hi"]),
    "a number as a prompt": ("a.jsonl", line(prompt=42), ["42"]),
    # refused
    "nothing": ("a.jsonl", b"", "no prompt"),
    "an empty CSV": ("a.csv", b"", "is empty"),
    "a header alone": ("a.csv", b"prompt,category\n", "no prompt"),
    "answers alone": ("a.jsonl", line(chosen="Sure, here", rejected="No"), "prompt"),
    "no column of prompts": ("a.csv", b"ask,kind\none,a\n", "prompt"),
    "a lone surrogate": ("a.jsonl", b'{"prompt": "cut \\ud83d"}\n', "half a character"),
    "a lone surrogate deep inside": (
        "a.jsonl",
        b'{"messages": [{"role": "user", "content": "\\uDE00"}]}\n',
        "half a character",
    ),
    "no JSON": ("a.jsonl", b'{"prompt": "Hi"}\n{"prompt": \n', "line 2, is not JSON"),
    "a first line that is no JSON": ("a.jsonl", b'{"prompt": \n{"prompt": "Hi"}\n', "line 1, is not JSON"),
    "arrays a line": ("a.jsonl", b'["a"]\n["b"]\n', "line 1, is not a JSON object"),
    "a number a line": ("a.jsonl", b"1\n2\n", "line 1, is not a JSON object"),
    "nested beyond sense": ("a.jsonl", b'{"prompt": ' + b"[" * 200_000 + b"\n", "line 1, is not JSON"),
    "nested deeper than a row": (
        "a.jsonl",
        b'{"prompt": "Hi", "category": ' + b"[" * 400 + b"]" * 400 + b"}\n",
        "line 1, is not JSON",
    ),
    "a prompt that is missing": ("a.jsonl", b'{"prompt": NaN}\n{"prompt": null}\n', "prompt"),
    "a line without end": ("a.jsonl", b'{"prompt": "' + b"x" * 9_000_000 + b'"}\n', "more than"),
    "a text without end, in an array": ("a.json", b'[{"prompt": "' + b"x" * 9_000_000 + b'"}]', "more than"),
    "a prompt like a book": ("a.jsonl", line(prompt="word " * 30_000), "characters; shorten it"),
    "Cyrillic in Windows-1251": ("a.csv", "prompt,n\nКак взломать замок?,1\n".encode("cp1251"), "save it as UTF-8"),
    "Polish in Windows-1250": ("a.csv", "prompt,n\nzażółć gęślą jaźń,1\n".encode("cp1250"), "save it as UTF-8"),
    "Turkish in Windows-1254": ("a.csv", "prompt,n\nİstanbul'da güneş,1\n".encode("cp1254"), "save it as UTF-8"),
    "old Mac text": ("a.csv", "prompt,n\nfür große Städte,1\n".encode("mac-roman"), "save it as UTF-8"),
    "Chinese in GB18030": ("a.csv", "prompt,n\n如何撬开一把锁,1\n".encode("gb18030"), "UTF-8"),
    "Japanese in Shift-JIS": ("a.csv", "prompt,n\n鍵を開ける方法,1\n".encode("shift-jis"), "UTF-8"),
    "UTF-8 with a broken byte": (
        "a.csv",
        "prompt,n\nčeské hádě žluť,1\n".encode().replace(b"\xc5", b"\xc5\xc5", 1),
        "damaged",
    ),
    "UTF-8 cut off": ("a.csv", "prompt\nfür é".encode()[:-1], "cut off"),
    "zero bytes": ("a.csv", b"prompt\nab\x00c\n" + b"x" * 99, "zero bytes"),
    "an Excel workbook": ("a.csv", b"PK\x03\x04" + bytes(99), "CSV UTF-8"),
    "a Git-LFS pointer": ("a.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "Parquet named CSV": ("a.csv", parquet(prompt=["Hi"]), ".parquet"),
    "CSV named Parquet": ("a.parquet", TABLE.encode(), "cannot be read as parquet"),
    "half a Parquet file": ("a.parquet", parquet(prompt=BOTH)[:200], "cannot be read as parquet"),
    "half a gzip file": ("a.jsonl.gz", packed(LINES * 50)[:-20], "damaged gzip"),
    "an open quotation": ("a.csv", b'prompt,n\n"one,1\ntwo,2\n', "quotation marks"),
    "a quotation in the middle": ("a.csv", b'prompt,n\n"one" two,1\n', "quotation marks"),
    "a header without end": ("a.csv", b"x" * 200_000 + b"\nHi\n", "cannot be read"),
    "a header that is not closed": ("a.csv", b'"prompt\n' + b"Hi\n" * 50_000, "cannot be read"),
    "too many cells": ("a.csv", b"prompt,n\none, two,1\n", "3 cells where the header has 2"),
    "a column twice": ("a.csv", b"prompt,prompt\none,two\n", "twice"),
    "another ending": ("a.docx", b"Hi", ".jsonl"),
}


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_that_people_bring(tmp_path, monkeypatch, name) -> None:
    file, content, outcome = SUITES[name]
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path / "cache"))
    (tmp_path / file).write_bytes(content)
    spec = SuiteSpec("own", file=file)
    readers: list[Callable[[], list]] = [
        lambda: load_suite(str(tmp_path / file)),
        lambda: load_source(spec, tmp_path / "build.toml"),
    ]
    for read in readers:
        if isinstance(outcome, str):
            with pytest.raises(ExplorerError) as caught:
                read()
            one_sentence(caught.value, outcome)
        else:
            assert [p.prompt for p in read()] == outcome
    assert sorted(p.name for p in tmp_path.iterdir()) == [file]  # nothing is written


def test_a_line_of_200_megabytes_is_refused_before_it_is_read(tmp_path) -> None:
    with (tmp_path / "a.jsonl").open("wb") as out:
        out.write(b'{"prompt": "')
        for _ in range(200):
            out.write(b"x" * 2**20)
        out.write(b'"}\n')
    with pytest.raises(ExplorerError, match="line 1, has more than 8,388,608 characters"):
        load_suite(str(tmp_path / "a.jsonl"))
    (tmp_path / "a.jsonl").unlink()  # pytest keeps the folder


def test_a_file_that_unpacks_without_end_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("explorer.text_file.MOST_FILE", 2**22)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n" * 2**24))
    with pytest.raises(ExplorerError, match="unpacked"):
        load_suite(str(tmp_path / "a.jsonl.gz"))


def test_names_of_prompts_are_their_own(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("id,prompt\nx,one\nx,two\n,three\nx,four\n")
    for prompts in (
        load_suite(str(tmp_path / "a.csv")),
        load_source(SuiteSpec("o", file="a.csv"), tmp_path / "b.toml"),
    ):
        assert len({p.id for p in prompts}) == 4
        assert prompts[0].id == "x"


def test_where_reads_csv_as_it_reads_json(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("prompt,safe,n\none,TRUE,1.0\ntwo,False,1\nthree,true,2\n")
    spec = SuiteSpec("o", file="a.csv", where=(("safe", True), ("n", 1)))
    assert [p.prompt for p in load_source(spec, tmp_path / "b.toml")] == ["one"]


def test_endings_are_those_that_are_read() -> None:
    assert reading.ENDINGS == (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


# -- preference pairs: kind, name, content, (prompt, chosen, rejected) or words ----------------------

HH = "\n\nHuman: Hi\n\nAssistant: "
USER = [{"role": "user", "content": "Hi"}]
PREFERENCES = {
    "HH-RLHF": ("dialogue", "a.jsonl", line(chosen=HH + "yes", rejected=HH + "no"), ("Hi", "yes", "no")),
    "HH-RLHF, packed": (
        "dialogue",
        "a.jsonl.gz",
        packed(line(chosen=HH + "yes", rejected=HH + "no")),
        ("Hi", "yes", "no"),
    ),
    "with a BOM": ("dialogue", "a.jsonl", b"\xef\xbb\xbf" + line(chosen=HH + "y", rejected=HH + "n"), ("Hi", "y", "n")),
    "upper-case columns": ("dialogue", "a.jsonl", line(Chosen=HH + "y", Rejected=HH + "n"), ("Hi", "y", "n")),
    "a prompt and two answers": ("dialogue", "a.csv", b"prompt,chosen,rejected\nHi,y,n\n", ("Hi", "y", "n")),
    "lists of turns": (
        "dialogue",
        "a.jsonl",
        line(
            chosen=[*USER, {"role": "assistant", "content": "y"}],
            rejected=[*USER, {"role": "assistant", "content": "n"}],
        ),
        ("Hi", "y", "n"),
    ),
    "a list of turns and two answers": (
        "dialogue",
        "a.jsonl",
        line(
            prompt=USER,
            chosen=[{"role": "assistant", "content": "y"}],
            rejected=[{"role": "assistant", "content": "n"}],
        ),
        ("Hi", "y", "n"),
    ),
    "messages": (
        "conversations",
        "a.jsonl",
        line(messages=[*USER, {"role": "assistant", "content": "y"}]),
        ("Hi", "y", ""),
    ),
    "GSM8K in Parquet": (
        "solutions",
        "a.parquet",
        parquet(question=["Hi"], answer=["It is 7.\n#### 7"]),
        ("Hi", None, None),
    ),
    "no columns": ("dialogue", "a.jsonl", line(a=1), "line 1, must have the columns chosen and rejected"),
    "numbers": ("dialogue", "a.jsonl", line(chosen=1, rejected=2), "line 1, must have the columns"),
    "nothing in it": ("dialogue", "a.jsonl", line(chosen=None, rejected=None), "line 1, must have the columns"),
    "an unknown speaker": ("conversations", "a.jsonl", line(messages=[{"role": "tool", "content": "x"}]), "“tool”"),
    "text for turns": ("conversations", "a.jsonl", line(conversations="Hi"), "must have the columns"),
    "solutions as numbers": ("solutions", "a.jsonl", line(question="Hi", answer=7), "must have the columns"),
    "half a character": ("dialogue", "a.jsonl", b'{"chosen": "\\ud800", "rejected": ""}\n', "half a character"),
    "no file": ("dialogue", "lost/a.jsonl", b"", "no file of preference pairs"),
}


@pytest.mark.parametrize("name", PREFERENCES)
def test_preference_pairs_that_people_bring(tmp_path, name) -> None:
    kind, file, content, outcome = PREFERENCES[name]
    if "lost" not in file:
        (tmp_path / file).write_bytes(content)
    if isinstance(outcome, str):
        with pytest.raises(ExplorerError) as caught:
            load_preferences(tmp_path / file, kind)
        one_sentence(caught.value, outcome)
        return
    (pair,) = load_preferences(tmp_path / file, kind)
    assert pair.turns == (("user", outcome[0]),)
    assert outcome[1] is None or (pair.chosen, pair.rejected) == outcome[1:]


# -- rankings --------------------------------------------------------------------------------------

CSV_RANKINGS = {
    "commas": ("a.csv", b"layer,neuron,score\n0,3,0.5\n2,1,0.9\n", [(2, 1), (0, 3)]),
    "a BOM and semicolons": ("a.csv", b"\xef\xbb\xbflayer;neuron;score\r\n0;3;0.5\r\n2;1;0.9\r\n", [(2, 1), (0, 3)]),
    "decimal commas": ("a.csv", b"layer;neuron;score\n0;3;0,5\n2;1;0,9e0\n", [(2, 1), (0, 3)]),
    "tabs, upper case": ("A.TSV", b"Layer\tIndex\tScore\n0\t3\t0.5\n2\t1\t0.9\n", [(2, 1), (0, 3)]),
    "UTF-16": ("a.csv", "layer,neuron,score\n0,3,0.5\n2,1,0.9\n".encode("utf-16"), [(2, 1), (0, 3)]),
    "packed": ("a.csv.gz", packed("layer,neuron,score\n0,3,0.5\n2,1,0.9\n"), [(2, 1), (0, 3)]),
    "whole numbers as decimals": ("a.csv", b"layer,neuron,score\n0.0,3.0,5e-1\n2.0,1.0,.9\n", [(2, 1), (0, 3)]),
    "signed scores": ("a.csv", b"layer,neuron,score\n0,0,-0.5\n0,1,0.5\n1,0,-0.9\n1,1,-0.1\n", [(0, 1), (1, 1)]),
    "signed scores of a part": (
        "a.csv",
        b"layer,neuron,score\n0,3,-0.5\n2,1,-0.9\n",
        "names 1 of the 4 neurons of layer 0",
    ),
    "an index of 99999999999": (
        "a.csv",
        b"layer,neuron,score\n0,99999999999,1\n",
        "row 2: no model has a neuron 99999999999",
    ),
    "a layer of 20 digits": ("a.csv", b"layer,neuron,score\n99999999999999999999,1,1\n", "no model has a layer"),
    "a hook of 20 digits": (
        "a.csv",
        b"hook,neuron,score\nblocks.99999999999999999999.mlp.hook_post,1,1\n",
        "is not a hook",
    ),
    "more neurons than memory": ("a.csv", b"layer,neuron,score\n1999,1999999,1\n", "no model has as many"),
    "a score of 1e300": ("a.csv", b"layer,neuron,score\n0,1,1e300\n", "more than float32 holds"),
    "nan": ("a.csv", b"layer,neuron,score\n0,1,nan\n", "is not a number"),
    "inf": ("a.csv", b"layer,neuron,score\n0,1,inf\n", "is not a number"),
    "an underscore": ("a.csv", b"layer,neuron,score\n0,1_0,1\n", "is not a number"),
    "a blank cell": ("a.csv", b"layer,neuron,score\n0,,1\n", "is not a number"),
    "thousands": ("a.csv", b'layer,neuron,score\n0,"1,234",1\n', "is not a number"),
    "half a neuron": ("a.csv", b"layer,neuron,score\n0,1.5,1\n", "whole number from 0"),
    "a neuron twice": ("a.csv", b"layer,neuron,score\n0,1,1\n0,1.0,2\n", "twice"),
    "nothing": ("a.csv", b"", "is empty"),
    "prose": ("a.csv", b"These are my favourite neurons.\n", "needs the columns"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(50), "zero bytes"),
}


@pytest.mark.parametrize("name", CSV_RANKINGS)
def test_a_ranking_in_text_that_people_bring(tmp_path, name) -> None:
    file, content, outcome = CSV_RANKINGS[name]
    (tmp_path / file).write_bytes(content)
    if isinstance(outcome, str):
        with pytest.raises(ExplorerError) as caught:
            read_ranking(tmp_path / file)
        one_sentence(caught.value, outcome)
    else:
        top = read_ranking(tmp_path / file).top(2)
        assert list(zip(top.layers.tolist(), top.neurons.tolist(), strict=True)) == outcome


class Runs:
    """Runs code where a pickle of it is opened."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return (os.mkdir, (str(self.place),))


def authors(scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Scores with their ranks, as the authors save them."""
    order = torch.argsort(scores.reshape(-1), descending=True, stable=True)
    ranks = torch.stack([order // scores.shape[1], order % scores.shape[1]], dim=1)
    return scores, ranks, *(torch.zeros(scores.shape) for _ in range(4))


SCORES = torch.arange(12, dtype=torch.float32).reshape(3, 4)
TENSOR_RANKINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "float64": (lambda f: authors(SCORES.double()), ""),
    "bfloat16": (lambda f: authors(SCORES.bfloat16()), ""),
    "whole numbers": (lambda f: authors(SCORES.int()), ""),
    "parameters": (lambda f: (torch.nn.Parameter(SCORES), *authors(SCORES)[1:]), ""),
    "a list": (lambda f: list(authors(SCORES)), ""),
    "text": (lambda f: "ranking", "must hold a tuple of tensors"),
    "a tuple of texts": (lambda f: ("a", "b"), "must hold a tuple of tensors"),
    "sparse": (lambda f: (SCORES.to_sparse(), *authors(SCORES)[1:]), "sparse"),
    "compressed sparse": (lambda f: (SCORES.to_sparse_csr(), *authors(SCORES)[1:]), "sparse"),
    "quantised": (lambda f: (torch.quantize_per_tensor(SCORES, 0.1, 0, torch.quint8), *authors(SCORES)[1:]), "sparse"),
    "without values": (lambda f: (SCORES.to("meta"), *authors(SCORES)[1:]), "tensor"),
    "complex": (lambda f: (SCORES.cfloat(), *authors(SCORES)[1:]), "must be numbers from 0"),
    "true and false": (lambda f: (SCORES > 3, *authors(SCORES)[1:]), "must be numbers from 0"),
    "stretched": (lambda f: (torch.zeros(1).expand(10**6, 10**6), authors(SCORES)[1]), "no model has as many"),
    "no layers": (lambda f: (torch.zeros(0, 4), torch.zeros(0, 2, dtype=torch.int64)), "must be numbers from 0"),
    "nan": (lambda f: (SCORES / 0 * 0, *authors(SCORES)[1:]), "cannot be ranked"),
    "1e300": (lambda f: authors(SCORES.double() * 1e300), "cannot be ranked"),
    "negative": (lambda f: authors(SCORES - 5), "cannot be ranked"),
    "infinite means": (lambda f: (*authors(SCORES)[:2], *[SCORES / 0] * 4), "must be numbers that float32 holds"),
    "ranks of nothing": (lambda f: (SCORES, authors(SCORES)[1] + 10**12), "twice, or one that has no score"),
    "code": (lambda f: (SCORES, Runs(f / "ran")), "plain tensors"),
}


@pytest.mark.parametrize("name", TENSOR_RANKINGS)
def test_a_ranking_in_tensors_that_people_bring(tmp_path, name) -> None:
    make, words = TENSOR_RANKINGS[name]
    torch.save(make(tmp_path), tmp_path / "A.PT")
    if words:
        with pytest.raises(ExplorerError) as caught:
            read_ranking(tmp_path / "A.PT")
        one_sentence(caught.value, words)
    else:
        np.testing.assert_array_equal(read_ranking(tmp_path / "A.PT").scores, SCORES.numpy())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tensors",
        b"layer,neuron,score\n0,1,1\n",
        b"\x80\x02}q\x00.",
        b"PK\x03\x04" + bytes(30),
        bytes(range(256)),
    ],
    ids=["nothing", "text", "a CSV", "a dictionary", "half a zip", "bytes"],
)
def test_what_is_no_tensor_file_is_one_sentence(tmp_path, content) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ExplorerError) as caught:
        read_ranking(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", range(5))
def test_no_pickle_runs(tmp_path, protocol) -> None:
    for name in ("a.pt", "a.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(Runs(tmp_path / "ran"), protocol))
        with pytest.raises(ExplorerError, match="plain tensors"):
            read_ranking(tmp_path / name)
    assert not (tmp_path / "ran").exists()


# -- runs ------------------------------------------------------------------------------------------


def scores(shape: tuple[int, int] = (2, 3), fill: float = 1.0) -> ChangeScores:
    arrays = [np.full(shape, fill, dtype=np.float32) for _ in range(5)]
    return ChangeScores(arrays[0], 4, *arrays[1:])


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """A runs folder with the run "good", and a secret beside it."""
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    (tmp_path / "secret.parquet").write_bytes(b"secret")
    write_run(tmp_path / "cache" / "good", scores())
    return tmp_path / "cache"


def write_run(folder: Path, changes: ChangeScores, **tables: pd.DataFrame) -> None:
    writer = RunWriter(folder.parent / f".build-{folder.name}")
    about = writer.change_scores("safety", changes)
    for name, table in {"capability": complete_capability(), **tables}.items():
        writer.table(name, table)
    manifest = {"title": folder.name, "pair": {"n_layers": 2, "n_neurons": 3}, "rankings": {"safety": about}}
    writer.publish(manifest, folder)


def rewrite(run: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    change(manifest)
    (run / "manifest.json").write_text(json.dumps(manifest))


def link(place: Path, target: Path) -> None:
    place.unlink()
    place.symlink_to(target)


def read_all(name: str) -> None:
    run = find_run(name)
    for problem in run.check():
        raise ExplorerError(problem)
    for ranking in run.rankings:
        run.change_scores(ranking)
    for table in run.tables:
        run.whole_table(table)


OUTSIDE = {"sha256": "0" * 64, "bytes": 6}
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a manifest of brackets": (lambda r: (r / "manifest.json").write_text("[" * 200_000), "damaged"),
    "a manifest of braces": (lambda r: (r / "manifest.json").write_text('{"a":' * 200_000), "damaged"),
    "a manifest that is none": (lambda r: (r / "manifest.json").write_bytes(b"\xff\xfe\x00"), "damaged"),
    "a format of text": (lambda r: rewrite(r, lambda m: m.update(schema_version=[1])), "damaged"),
    "files outside": (
        lambda r: rewrite(r, lambda m: m["files"].update({"../../secret.parquet": OUTSIDE})),
        "its files",
    ),
    "files anywhere": (lambda r: rewrite(r, lambda m: m["files"].update({"/etc/passwd": OUTSIDE})), "its files"),
    "a table outside": (lambda r: rewrite(r, lambda m: m["tables"].append("../../../secret")), "its tables"),
    "a ranking outside": (lambda r: rewrite(r, lambda m: m["rankings"].update({"../x": {}})), "its rankings"),
    "a ranking of nothing": (lambda r: rewrite(r, lambda m: m["rankings"].update(safety=None)), "its rankings"),
    "no size": (lambda r: rewrite(r, lambda m: m["pair"].update(n_layers="two")), "the size of its models"),
    "another size": (lambda r: rewrite(r, lambda m: m["pair"].update(n_neurons=4)), "2 × 4 neurons"),
    "no layer of that number": (
        lambda r: rewrite(r, lambda m: m["rankings"]["safety"].update(excluded_layers=[9])),
        "damaged",
    ),
    "a ranking without its count": (lambda r: rewrite(r, lambda m: m["rankings"]["safety"].pop("count")), "damaged"),
    "a title of a list": (lambda r: rewrite(r, lambda m: m.update(title=["x"])), "damaged (title)"),
    "suites of a list": (lambda r: rewrite(r, lambda m: m.update(suites=["x"])), "damaged (suites)"),
    "a linked manifest": (lambda r: link(r / "manifest.json", r.parent / "good" / "manifest.json"), "symbolic link"),
    "a linked table": (
        lambda r: link(r / "tables" / "capability.parquet", r.parents[1] / "secret.parquet"),
        "symbolic link",
    ),
    "a linked folder": (lambda r: linked_folder(r / "tables", r.parent / "good" / "tables"), "symbolic link"),
    "nan scores": (lambda r: write_run(r, scores(fill=np.nan)), "finite numbers"),
    "infinite scores": (lambda r: write_run(r, scores(fill=np.inf)), "finite numbers"),
    "scores of another shape": (lambda r: write_run(r, scores((3, 3))), "2 × 3 neurons"),
    "a table without its suite": (
        lambda r: write_run(r, scores(), effect=pd.DataFrame({"fraction": [0.1]})),
        "lacks the column “suite”",
    ),
    "a suite of numbers": (
        lambda r: write_run(r, scores(), models=pd.DataFrame({"suite": [1], "column": ["m1"], "n": [1]})),
        "“suite” holds no text",
    ),
    "a table that is none": (lambda r: damaged_table(r, b"no table"), "damaged"),
}


def linked_folder(place: Path, target: Path) -> None:
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    place.symlink_to(target, target_is_directory=True)


def damaged_table(run: Path, content: bytes) -> None:
    from explorer.digests import sha256_file

    file = run / "tables" / "capability.parquet"
    file.write_bytes(content)
    rewrite(run, lambda m: m["files"]["tables/capability.parquet"].update(sha256=sha256_file(file)))


@pytest.fixture
def opened(tmp_path) -> Iterator[list[str]]:
    """The files of the temporary folder, outside of its runs, that are opened during the test."""
    seen: list[str] = []
    watching = [True]

    def hook(event: str, args: tuple) -> None:
        if watching[0] and event == "open" and isinstance(args[0], str) and "secret" in args[0]:
            seen.append(args[0])

    sys.addaudithook(hook)
    yield seen
    watching[0] = False


@pytest.mark.parametrize("name", DAMAGE)
def test_a_run_that_people_bring(runs, opened, name) -> None:
    write_run(runs / "bad", scores())
    read_all("bad")
    damage, words = DAMAGE[name]
    damage(runs / "bad")
    with pytest.raises(ExplorerError) as caught:
        read_all("bad")
    one_sentence(caught.value, words)
    assert opened == []


def complete_capability() -> pd.DataFrame:
    return pd.DataFrame({"task": ["a"], "measure": ["m"], "model": ["M1"], "fraction": [0.0], "n": [1], "value": [1.0]})


def test_a_run_that_is_a_link_is_refused_by_name(runs, tmp_path) -> None:
    (runs / "linked").symlink_to(runs / "good", target_is_directory=True)
    with pytest.raises(ExplorerError, match="symbolic link"):
        find_run("linked")
    assert open_run(runs / "linked").rankings == ["safety"]  # a path that is given means what it says


def test_publishing_over_a_link_leaves_alone_what_it_leads_to(runs, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    for name in ("new", ".new-half", ".new-old"):
        (runs / name).symlink_to(tmp_path / "other", target_is_directory=True)
    write_run(runs / "new", scores())
    assert find_run("new").check() == []
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["mine.txt"]


def test_explorer_runs_survives_damaged_runs(runs, monkeypatch, capsys) -> None:
    for number, (damage, _) in enumerate(list(DAMAGE.values())[:8]):
        write_run(runs / f"bad{number}", scores())
        damage(runs / f"bad{number}")
    (runs / "a name that is none").mkdir()
    (runs / "a name that is none" / "manifest.json").write_text("{}")
    write_run(runs / "zulu", scores())
    rewrite(runs / "zulu", lambda m: m.update(title="two\nlines \x1b[31m", created="x" * 999))
    code, out, err = command(monkeypatch, capsys, "runs")
    assert code == 0
    assert [row.split("\t")[0] for row in out.splitlines()] == ["good", "zulu"]
    assert "\x1b" not in out
    assert len(err.splitlines()) == 9
    assert all(row.startswith("explorer: ") for row in err.splitlines())


def test_a_runs_folder_that_is_a_file_is_no_runs(tmp_path, monkeypatch) -> None:
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    assert run_names() == []


# -- build files -----------------------------------------------------------------------------------

HEAD = 'name = "tiny"\npair = "demo"\nscorers = ["refusal"]\n'
RANKING = '[rankings.safety]\nsuite = "redteam_eval"\n'
ANSWERS = '[[answers]]\nsuite = "redteam_eval"\n'

BUILDS = {
    "limit = -3": (HEAD + RANKING + "limit = -3", "[rankings.safety]: limit must be a whole number above 0"),
    "limit = 0": (HEAD + RANKING + "limit = 0", "[rankings.safety]: limit must be a whole number above 0"),
    "limit = true": (
        HEAD + RANKING + "limit = true",
        "limit must be a whole number above 0 and at most 1,000,000, not true",
    ),
    "limit as text": (HEAD + RANKING + 'limit = "5"', "not “5”"),
    "limit of 40 digits": (HEAD + RANKING + "limit = " + "9" * 40, "limit must be a whole number"),
    "limit of 5,000 digits": (HEAD + RANKING + "limit = " + "9" * 5_000, "is not a readable TOML file"),
    "positions": (
        HEAD + RANKING + 'positions = "bogus"',
        "positions must be one of paper, shifted, prompt, last_prompt",
    ),
    "method": (HEAD + RANKING + 'method = "magic"', "method must be one of contrast"),
    "answers": (HEAD + RANKING + 'answers = "m3"', "answers must be one of m1, m2"),
    "max_new_tokens of a ranking": (HEAD + RANKING + "max_new_tokens = 10000000", "at most 1,024, not 10000000"),
    "max_new_tokens": ("max_new_tokens = 10000000\n" + HEAD + RANKING, "max_new_tokens must be a whole number above 0"),
    "no tokens": ("max_new_tokens = 0\n" + HEAD + RANKING, "max_new_tokens must be a whole number above 0"),
    "tokens by halves": ("max_new_tokens = 1.5\n" + HEAD + RANKING, "max_new_tokens must be a whole number above 0"),
    "layers as text": (HEAD + RANKING + 'exclude_layers = ["last"]', "but item 1 is “last”"),
    "fractions = [5]": (
        HEAD + RANKING + ANSWERS + "fractions = [5]",
        "[[answers]] 1: fractions must be a list, each a number above 0",
    ),
    "fractions = [nan]": (HEAD + RANKING + ANSWERS + "fractions = [0.1, nan]", "but item 2 is nan"),
    "fractions = [inf]": (HEAD + RANKING + ANSWERS + "fractions = [inf]", "but item 1 is inf"),
    "a negative fraction": (HEAD + RANKING + ANSWERS + "fractions = [-0.1]", "but item 1 is -0.1"),
    "fractions twice": (HEAD + RANKING + ANSWERS + "fractions = [0.1, 0.1]", "none twice"),
    "fractions = 0.1": (HEAD + RANKING + ANSWERS + "fractions = 0.1", "fractions must be a list"),
    "a negative seed": (HEAD + RANKING + ANSWERS + "random_seeds = [-1]", "random_seeds must be a list"),
    "half a window": (HEAD + RANKING + ANSWERS + "windows = [[0.5]]", "windows must be a list, each a pair"),
    "a window beyond": (HEAD + RANKING + ANSWERS + "windows = [[0.9, 0.5]]", "0.9 + 0.5 is more than 1"),
    "answers as a table": (HEAD + RANKING + '[answers]\nsuite = "redteam_eval"', "write [[answers]]"),
    "answers twice": (HEAD + RANKING + ANSWERS + ANSWERS, "two tables [[answers]] of one suite"),
    "a suite outside": (HEAD + RANKING + '[[answers]]\nsuite = "../x"', "cannot be the name"),
    "pair = 5": ('pair = 5\nname = "tiny"\n' + RANKING, "pair must be a name or place on one line, not 5"),
    "pair of nothing": ('pair = ""\nname = "tiny"\n' + RANKING, "pair must be a name or place"),
    "pair of 300 letters": (f'pair = "{"a" * 300}"\nname = "tiny"\n' + RANKING, "pair must be a name or place"),
    "pair with a zero": ('pair = "a\\u0000b"\nname = "tiny"\n' + RANKING, "pair must be a name or place"),
    "dtype": ('dtype = "int3"\n' + HEAD + RANKING, "dtype must be one of auto, float32, bfloat16, float16"),
    "title of a number": ("title = 7\n" + HEAD + RANKING, "title must be a text, not 7"),
    "name of a date": ("name = 2020-01-01\n" + RANKING, "name must be a name"),
    "a name outside": ('name = "../tiny"\n' + RANKING, "cannot be the name of a run"),
    "a ranking's name outside": (HEAD + '[rankings."../x"]\nsuite = "redteam_eval"', "cannot be the name of a ranking"),
    "a name that overrides": (HEAD + RANKING + 'name = "../../x"', "has an unknown setting “name”"),
    "a misspelt setting": (HEAD + RANKING + "limits = 5", "did you mean “limit”?"),
    "a misspelt table": (HEAD + RANKING + "[capabilities]", "did you mean “capability”?"),
    "source": ('source = "x"\n' + HEAD + RANKING, "unknown setting “source”"),
    "no rankings": (HEAD, "names no rankings"),
    "rankings = 5": ("rankings = 5\n" + HEAD, "names no rankings"),
    "a ranking = 5": (HEAD + "[rankings]\nsafety = 5", "a single value where a table of settings belongs"),
    "a ranking without suite": (HEAD + "[rankings.safety]", "[rankings.safety] lacks the setting “suite”"),
    "suites = 5": ("suites = 5\n" + HEAD + RANKING, "write [suites.NAME]"),
    "adapters = []": ("adapters = []\n" + HEAD + RANKING, "write [adapters.NAME]"),
    "columns = 5": (HEAD + RANKING + '[suites.a]\nfile = "a.csv"\ncolumns = 5', "columns must be a table of texts"),
    "columns of another kind": (HEAD + RANKING + '[suites.a]\nfile = "a.csv"\ncolumns = { text = "x" }', "not text"),
    "where of a list": (HEAD + RANKING + '[suites.a]\nfile = "a.csv"\nwhere = { a = [1] }', "where must be a table"),
    "a file and a hub": (HEAD + RANKING + '[suites.a]\nfile = "a.csv"\nhub = "b/c"', "either a file or a hub name"),
    "no sources": (
        HEAD + RANKING + '[transfer]\nsources = []\ntargets = ["a"]',
        "sources must be a list of at least 1",
    ),
    "one seed": (HEAD + RANKING + '[seeds]\nrankings = ["safety"]', "rankings must be a list of at least 2"),
    "half a pair": (
        HEAD + RANKING + '[tax]\npairs = [["safety"]]\nsuites = ["redteam_eval"]',
        "each a pair of two rankings",
    ),
    "a pair with itself": (
        HEAD + RANKING + '[tax]\npairs = [["safety", "safety"]]\nsuites = ["redteam_eval"]',
        "two different rankings",
    ),
    "no neurons": (HEAD + RANKING + "[detail]\nneurons = 0", "[detail]: neurons must be a whole number above 0"),
    "windows by halves": (
        HEAD + RANKING + "[capability]\nwindows = 0.5",
        "[capability]: windows must be a whole number",
    ),
    "nested lists": (HEAD + "a = " + "[" * 100_000, "nested too deep"),
    "no TOML": ("[rankings", "is not a readable TOML file"),
    "a key twice": (HEAD + HEAD, "is not a readable TOML file"),
}


@pytest.mark.parametrize("name", BUILDS)
def test_a_build_file_that_people_bring(tmp_path, name) -> None:
    content, words = BUILDS[name]
    (tmp_path / "build.toml").write_text(content)
    with pytest.raises(ExplorerError) as caught:
        read_build_config(tmp_path / "build.toml")
    one_sentence(caught.value, words)
    assert "build.toml" in str(caught.value) or "cannot be the name" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["build.toml"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_build_file_in_any_encoding(tmp_path, encoding) -> None:
    text = (
        'title = "Für alle"\n'
        + HEAD
        + RANKING
        + "limit = 7\n"
        + ANSWERS
        + "fractions = [1, 0.5]\nwindows = [[0.5, 0.5]]\n"
    )
    (tmp_path / "build.toml").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    config = read_build_config(tmp_path / "build.toml")
    assert (config.title, config.ranking("safety").limit) == ("Für alle", 7)
    assert config.answers[0].fractions == (1.0, 0.5)


# -- training files --------------------------------------------------------------------------------

TRAIN = """
name = "small"
base = "embedded:smollm2-135m-instruct"
output = "out"
{more}
[data]
refuse = ["redteam_train"{source}]
pairs = [{pairs}]
{data}
[[stages]]
{stage}
"""

TRAININGS = {
    "no rate": ({"stage": "learning_rate = 0"}, "[[stages]] 1: learning_rate must be a number above 0"),
    "a rate of nan": ({"stage": "learning_rate = nan"}, "learning_rate must be a number above 0"),
    "a rate of text": ({"stage": 'learning_rate = "1e-3"'}, "learning_rate must be a number above 0"),
    "no epochs": ({"stage": "epochs = -1"}, "epochs must be a number above 0"),
    "a batch of nothing": ({"stage": "batch_size = 0"}, "batch_size must be a whole number above 0"),
    "half a batch": ({"stage": "batch_size = 1.5"}, "batch_size must be a whole number above 0"),
    "a batch that does not divide": ({"stage": "batch_size = 4\nmicro_batch = 3"}, "[[stages]] 1: The batch of 4"),
    "method": ({"stage": 'method = "magic"'}, "method must be one of sft, dpo"),
    "a share beyond": ({"stage": "refuse_share = 2"}, "refuse_share must be a number from 0 to 1"),
    "yes": ({"stage": 'group_by_length = "yes"'}, "group_by_length must be true or false"),
    "a negative weight": ({"stage": "nll_weight = -1"}, "nll_weight must be a number from 0"),
    "a misspelt stage": ({"stage": "epoch = 1"}, "did you mean “epochs”?"),
    "a negative limit": (
        {"source": ', { suite = "a.jsonl", limit = -3 }'},
        "[data] refuse 2: limit must be a whole number",
    ),
    "a source of a number": ({"source": ", 5"}, "[data] refuse 2 has a single value"),
    "a source without suite": ({"source": ", { limit = 3 }"}, "[data] refuse 2 lacks the setting “suite”"),
    "pairs of text": ({"pairs": '"a.jsonl"'}, "[data] pairs 1 has a single value"),
    "pairs of a kind": ({"pairs": '{ file = "a.jsonl", kind = "x" }'}, "must be of the kind"),
    "pairs to skip": ({"pairs": '{ file = "a.jsonl", skip = -1 }'}, "[data] pairs 1: skip must be a whole number"),
    "answers without end": (
        {"data": "answer_tokens = 10000000"},
        "[data]: answer_tokens must be a whole number above 0",
    ),
    "misspelt data": ({"data": 'refuze = ["x"]'}, "did you mean “refuse”?"),
    "data of a number": ({"data": "keep = 5"}, "[data]: keep must be a list"),
    "a misspelt setting": ({"more": "sed = 3"}, "did you mean “seed”?"),
    "a negative seed": ({"more": "seed = -1"}, "seed must be a whole number from 0"),
    "noise": ({"more": "noise = inf"}, "noise must be a number from 0 to 10"),
    "dtype": ({"more": 'dtype = "int8"'}, "dtype must be one of"),
    "device": ({"more": "device = 0"}, "device must be a name"),
    "a start that is none": ({"more": 'start = "nowhere"'}, "train that one first"),
    "stages that are not there": ({"more": "average_stages = 3"}, "average_stages must be at most"),
}


def training(folder: Path, **parts: str) -> Path:
    (folder / "train.toml").write_text(
        TRAIN.format(**{"more": "", "source": "", "pairs": "", "data": "", "stage": "", **parts})
    )
    return folder / "train.toml"


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_file_that_people_bring(tmp_path, name) -> None:
    parts, words = TRAININGS[name]
    with pytest.raises(ExplorerError) as caught:
        read_train_config(training(tmp_path, **parts))
    one_sentence(caught.value, words)
    assert "train.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('output = "out"', 'output = "."', "a folder of the adapter's own"),
        ('output = "out"', 'output = ".."', "a folder of the adapter's own"),
        ('output = "out"', 'output = ""', "output must be a name or place"),
        ('name = "small"', 'name = "../../small"', "name must be a name that a folder can have"),
        ('name = "small"', "", "lacks the setting “name”"),
        ("[[stages]]", "[stages]", "stages must be a list of tables [[stages]]"),
        ("[data]", "[date]", "did you mean “data”?"),
    ],
)
def test_a_training_file_with_a_wrong_head(tmp_path, old, new, words) -> None:
    file = training(tmp_path)
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ExplorerError) as caught:
        read_train_config(file)
    one_sentence(caught.value, words)


def test_a_training_file_names_files_of_every_form(tmp_path) -> None:
    source = ', "a.CSV", { suite = "b.jsonl.gz", limit = 3 }'
    config = read_train_config(training(tmp_path, source=source, pairs='{ file = "c.parquet" }'))
    assert [s.suite for s in config.refuse] == ["redteam_train", str(tmp_path / "a.CSV"), str(tmp_path / "b.jsonl.gz")]
    assert config.pairs[0].file == str(tmp_path / "c.parquet")


# -- folders that cannot be written ----------------------------------------------------------------


@pytest.fixture
def blocked(tmp_path) -> Path:
    """A place whose folder cannot be made, for any user: a file is in its way."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "folder"


def test_a_folder_that_cannot_be_made_is_one_sentence(blocked) -> None:
    for write in (
        lambda: RunWriter(blocked),
        lambda: write_json(blocked / "a.json", 1),
        lambda: write_ranking(scores(), blocked / "a.csv"),
        lambda: write_ranking(scores(), blocked / "a.pt"),
    ):
        with pytest.raises(ExplorerError) as caught:
            write()
        one_sentence(caught.value, "cannot be written: Not a directory; choose another folder.")


FULL = """
import resource, sys
from pathlib import Path
import numpy as np, pandas as pd
from explorer.errors import ExplorerError
from explorer.neurons.artefacts import write_ranking
from explorer.neurons.scores import ChangeScores
from explorer.pipeline.stages import write_json
from explorer.runs.writer import RunWriter
folder = Path(sys.argv[1])
writer = RunWriter(folder / "run")
arrays = [np.random.default_rng(0).random((40, 400)).astype(np.float32) for _ in range(5)]
changes = ChangeScores(arrays[0], 4, *arrays[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
for write in (
    lambda: writer.change_scores("a", changes),
    lambda: writer.table("a", pd.DataFrame({"x": arrays[0].reshape(-1)})),
    lambda: write_json(folder / "a.json", list(range(9000))),
    lambda: write_ranking(changes, folder / "a.csv"),
    lambda: write_ranking(changes, folder / "a.pt"),
):
    try:
        write()
    except ExplorerError as problem:
        print(problem)
print([p.name for p in folder.rglob("*") if p.is_file()])
"""


def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(tmp_path) -> None:
    """A limit on the size of files stands for the full disk: writing fails in the middle in the same way."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, cwd=PROJECT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    *said, left = done.stdout.splitlines()
    assert len(said) == 5
    assert all("cannot be written" in row for row in said)
    assert left == "[]"


# -- the same by the command line ------------------------------------------------------------------


def command(monkeypatch, capsys, *args: str) -> tuple[int, str, str]:
    """A command in this process: its exit code and what it said."""
    monkeypatch.setattr(sys, "argv", ["explorer", *args])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def refused(monkeypatch, capsys, words: str, *args: str) -> None:
    code, out, err = command(monkeypatch, capsys, *args)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert err.startswith("explorer: ")


COMMANDS = [name for name, (_, _, outcome) in SUITES.items() if isinstance(outcome, str)]


@pytest.mark.parametrize("name", COMMANDS[:12])
def test_the_command_line_refuses_suites_in_one_line(tmp_path, monkeypatch, capsys, name) -> None:
    file, content, words = SUITES[name]
    (tmp_path / file).write_bytes(content)
    refused(monkeypatch, capsys, words, "refusals", "--redteam", str(tmp_path / file))


@pytest.mark.parametrize(
    "name", ["limit = -3", "fractions = [5]", "fractions = [nan]", "pair = 5", "positions", "nested lists"]
)
@pytest.mark.parametrize("plan", [[], ["--plan"]])
def test_the_command_line_refuses_build_files_in_one_line(tmp_path, monkeypatch, capsys, name, plan) -> None:
    content, words = BUILDS[name]
    (tmp_path / "build.toml").write_text(content)
    refused(monkeypatch, capsys, words, "build", str(tmp_path / "build.toml"), *plan)


@pytest.mark.parametrize("name", ["a rate of nan", "a misspelt setting", "pairs of text", "a negative seed"])
def test_the_command_line_refuses_training_files_in_one_line(tmp_path, monkeypatch, capsys, name) -> None:
    parts, words = TRAININGS[name]
    refused(monkeypatch, capsys, words, "train", str(training(tmp_path, **parts)))


@pytest.mark.parametrize(
    "name", ["an index of 99999999999", "a layer of 20 digits", "a score of 1e300", "prose", "nothing"]
)
def test_the_command_line_refuses_rankings_in_one_line(tmp_path, monkeypatch, capsys, name) -> None:
    file, content, words = CSV_RANKINGS[name]
    (tmp_path / file).write_bytes(content)
    refused(monkeypatch, capsys, words, "rank", "--from", str(tmp_path / file))


@pytest.mark.parametrize("name", ["text", "sparse", "stretched", "1e300", "code"])
def test_the_command_line_refuses_tensor_files_in_one_line(tmp_path, monkeypatch, capsys, name) -> None:
    make, words = TENSOR_RANKINGS[name]
    torch.save(make(tmp_path), tmp_path / "a.pt")
    refused(monkeypatch, capsys, words, "rank", "--from", str(tmp_path / "a.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["a manifest of brackets", "files outside", "a linked table", "another size", "nan scores"]
)
def test_the_command_line_refuses_runs_in_one_line(runs, opened, monkeypatch, capsys, name) -> None:
    write_run(runs / "bad", scores())
    damage, words = DAMAGE[name]
    damage(runs / "bad")
    args = ("check", "bad") if "link" in name else ("rank", "--run", "bad")
    refused(monkeypatch, capsys, words, *args)
    assert opened == []


def test_the_command_line_refuses_preference_pairs_in_one_line(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "a.jsonl").write_bytes(line(a=1))
    refused(monkeypatch, capsys, "must have the columns", "preferences", str(tmp_path / "a.jsonl"))


def test_the_command_line_tells_of_a_folder_that_cannot_be_made(blocked, monkeypatch, capsys) -> None:
    refused(monkeypatch, capsys, "cannot be written", "rank", "--export", str(blocked / "a.csv"))
    monkeypatch.setenv("EXPLORER_RUNS", str(blocked))
    refused(monkeypatch, capsys, "cannot be written", "build", "configs/build/small.toml")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_output_that_is_full_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        arguments = [sys.executable, "-m", "explorer", "rank", "--top", "3"]
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, cwd=PROJECT, timeout=120)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr
