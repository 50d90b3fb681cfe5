"""Checkpoints of a training: read from a pair file, measured by a build, told in a sentence."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from peft import IA3Config, get_peft_model

from explorer.engine.contrast import contrast
from explorer.errors import ExplorerError
from explorer.models.pair import load_pair, sibling
from explorer.models.pair_file import read_pair_file
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.runs.reader import open_run
from explorer.studies.series import series_sentence
from tests import tiny
from tests.close import assert_close

BUILD = """
name = "along"
pair = "pair.toml"
dtype = "float32"
max_new_tokens = 4
scorers = ["refusal"]
[rankings.safety]
suite = "redteam_eval"
limit = 3
[series]
suite = "redteam_eval"
answers = "ordinary_eval"
limit = 3
answers_limit = 3
fractions = [0.1, 0.3]
[detail]
neurons = 5
suites = ["ordinary_eval"]
texts_per_suite = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A base model and three checkpoints of (IA)³ vectors that grow apart from 1, as a trainer leaves them."""
    folder = tmp_path_factory.mktemp("along")
    tiny.model("llama").save_pretrained(folder / "base")
    tiny.tokenizer().save_pretrained(folder / "base")
    direction = torch.randn(tiny.LAYERS, tiny.NEURONS, generator=torch.Generator().manual_seed(1))
    for number, step in enumerate((5, 10, 20), start=1):
        model = get_peft_model(
            tiny.model("llama"),
            IA3Config(task_type="CAUSAL_LM", target_modules=["down_proj"], feedforward_modules=["down_proj"]),
        )
        vectors = [p for name, p in model.named_parameters() if "ia3" in name]
        for vector, row in zip(vectors, direction, strict=True):
            vector.data += 0.2 * number * row
        model.save_pretrained(folder / "checkpoints" / f"checkpoint-{step}")
    (folder / "build.toml").write_text(BUILD)
    return folder


def write_pair(folder, series: str):
    path = folder / "pair.toml"
    path.write_text(
        f'[m1]\nbase = "base"\n[m2]\nbase = "base"\nadapters = ["checkpoints/checkpoint-20"]\n[series]\n{series}\n'
    )
    return path


def test_a_series_is_a_folder_of_checkpoints_or_a_table_of_steps(folder):
    spec = read_pair_file(write_pair(folder, 'folder = "checkpoints"'))
    assert [s.step for s in spec.series] == [5, 10, 20]
    assert spec.series[2].model == spec.m2
    table = 'steps = { 20 = "checkpoints/checkpoint-20", 3 = "base" }'
    spec = read_pair_file(write_pair(folder, table))
    assert [s.step for s in spec.series] == [3, 20]
    assert spec.series[0].model.adapters == ()  # a whole model, no adapter


@pytest.mark.parametrize(
    "series", ['folder = "lost"', 'steps = { 1 = "base" }', 'steps = { a = "b", c = "d" }', "x = 1"]
)
def test_a_wrong_series_is_one_sentence(folder, series):
    with pytest.raises(ExplorerError, match=r"\[series\]"):
        read_pair_file(write_pair(folder, series))


def test_another_m2_shares_the_weights_that_are_there(folder):
    spec = read_pair_file(write_pair(folder, 'folder = "checkpoints"'))
    pair = load_pair(spec, dtype="float32")
    other = sibling(pair, replace(spec, m2=spec.series[0].model, series=()))
    assert other.backbone1 is pair.backbone1
    assert other.shared
    alone = load_pair(read_pair_file(write_pair(folder, 'folder = "checkpoints"')), dtype="float32")
    expected = contrast(sibling(alone, replace(spec, m2=spec.series[2].model, series=())), tiny.PROMPTS[:3], 4)
    assert_close(contrast(pair, tiny.PROMPTS[:3], 4).scores, expected.scores, layers=pair.n_layers)


def test_a_build_measures_every_checkpoint(folder, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(folder / "cache"))
    write_pair(folder, 'folder = "checkpoints"')
    table = open_run(build(read_build_config(folder / "build.toml"))).table("series")
    assert list(table["step"]) == [5, 10, 20] * 2
    ends = table[table["step"] == 20]
    assert (ends["overlap"] == 1).all()
    assert (ends["spearman"] == 1).all()
    assert table["overlap"].between(0, 1).all()
    small = table[table["fraction"] == 0.1]
    assert small["score_mean"].is_monotonic_increasing
    assert {"refusal_m1_low", "refusal_patched", "effect_refusal_high", "chance"} <= set(table.columns)
    assert "step **5**" in series_sentence(small)


def test_a_series_is_measured_by_several_methods(folder, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(folder / "cache3"))
    write_pair(folder, 'folder = "checkpoints"')
    once = BUILD[BUILD.index("[series]") : BUILD.index("[detail]")]
    twice = once.replace("[series]", "[[series]]")
    both = twice + twice.replace("fractions", 'method = "attribution"\nsteps = 1\nfractions').replace("0.1, 0.3", "0.2")
    (folder / "both.toml").write_text(BUILD.replace(once, both))
    table = open_run(build(read_build_config(folder / "both.toml"))).whole_table("series")
    assert table.groupby("method")["fraction"].unique().map(list).to_dict() == {
        "attribution": [0.2],
        "contrast": [0.1, 0.3],
    }
    assert (table.loc[table["step"] == 20, "overlap"] == 1).all()
    (folder / "both.toml").write_text(BUILD.replace(once, twice + twice))
    with pytest.raises(ExplorerError, match="of one method"):
        read_build_config(folder / "both.toml")


def test_a_series_to_build_that_no_pair_file_lists_is_refused(folder, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(folder / "cache2"))
    (folder / "pair.toml").write_text('[m1]\nbase = "base"\n[m2]\nbase = "base"\n')
    with pytest.raises(ExplorerError, match="lists no series"):
        build(read_build_config(folder / "build.toml"))


def test_the_sentence_follows_from_the_table():
    frame = pd.DataFrame(
        {
            "step": [5, 10, 20, 40],
            "k": 12,
            "n": 24,
            "max_new_tokens": 16,
            "overlap": [0.3, 0.95, 0.92, 1.0],
            "chance": 0.05,
            "refusal_m1": 0.0,
            "refusal_m1_low": 0.0,
            "refusal_m1_high": 0.14,
            "refusal_m2": [0.8, 0.0, 0.5, 0.6],
            "refusal_m2_low": [0.6, 0.0, 0.3, 0.4],
            "refusal_m2_high": [0.9, 0.14, 0.7, 0.75],
            "effect_refusal": [0.0, np.nan, 0.4, 0.9],
            "effect_refusal_low": [-0.2, np.nan, 0.1, 0.5],
        }
    )
    text = series_sentence(frame).replace("\u00a0", " ")
    assert "shares **30 %** of its 12 neurons" in text
    assert "From step **10** on it shares at least 90 %" in text
    assert "M2 refuses **80 %** (60–90 %) at step 5 and **60 %** (40–75 %) at step 40" in text
    assert "from 0 % (step 10) to 80 % (step 5)" in text
    assert "more than M1's **0 %** (0–14 %) at every step but 10 (n = 24, up to 16 tokens" in text
    assert "restores 0 % to 90 % of it; distinguishable from 0 only at steps 20, 40." in text
    never = series_sentence(frame.assign(overlap=[0.3, 0.4, 0.5, 1.0], effect_refusal=np.nan))
    assert "never shares" in never
    assert "at no step" in never
    assert "No share of a gap" in never
