"""Rankings out of and into other people's files."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from explorer.errors import ExplorerError
from explorer.neurons.artefacts import read_ranking, write_ranking
from explorer.neurons.scores import ChangeScores
from explorer.paths import PROJECT

LAYERS, NEURONS = 4, 10


class Shape:
    def __init__(self, n_layers: int, n_neurons: int) -> None:
        self.n_layers, self.n_neurons = n_layers, n_neurons


def made_up(layers: int = LAYERS, excluded: tuple[int, ...] = ()) -> ChangeScores:
    rng = np.random.default_rng(0)
    arrays = [np.abs(rng.normal(size=(layers, NEURONS))).astype(np.float32) for _ in range(5)]
    return ChangeScores(arrays[0], 7, *arrays[1:], excluded_layers=excluded)


def authors_tuple(changes: ChangeScores) -> tuple:
    """As the authors' change_scores.py saves it."""
    pairs = np.stack([changes.order // NEURONS, changes.order % NEURONS], axis=1)
    arrays = (changes.scores, pairs, changes.mean1, changes.std1, changes.mean2, changes.std2)
    return tuple(torch.from_numpy(a) for a in arrays)


def test_the_authors_file_is_read_as_a_ranking(tmp_path):
    changes = made_up()
    torch.save(authors_tuple(changes), tmp_path / "hh_harmless.pt")
    got = read_ranking(tmp_path / "hh_harmless.pt", Shape(LAYERS, NEURONS))
    for name in ("scores", "mean1", "mean2", "std1", "std2", "order"):
        np.testing.assert_array_equal(getattr(got, name), getattr(changes, name))
    assert len(got.top(fraction=0.1)) == 4


def test_the_layer_that_the_authors_leave_out_comes_back_unranked(tmp_path):
    torch.save(authors_tuple(made_up(35)), tmp_path / "qwen.pt")
    got = read_ranking(tmp_path / "qwen.pt", Shape(36, NEURONS))
    assert got.excluded_layers == (31,)
    assert got.scores.shape == (36, NEURONS)
    np.testing.assert_array_equal(np.delete(got.scores, 31, axis=0), made_up(35).scores)
    assert 31 not in got.top(fraction=0.9).layers
    assert read_ranking(tmp_path / "qwen.pt").n_layers == 35


@pytest.mark.parametrize("name", ["out.pt", "out.csv"])
@pytest.mark.parametrize("excluded", [(), (3,)])
def test_what_is_written_is_read_again(tmp_path, name, excluded):
    changes = made_up(excluded=excluded)
    got = read_ranking(write_ranking(changes, tmp_path / name), Shape(LAYERS, NEURONS))
    assert got.top(20) == changes.top(20)
    if name == "out.pt":
        np.testing.assert_array_equal(got.scores, changes.scores)
    else:
        table = pd.read_csv(tmp_path / name)
        assert table["hook"][0] == f"blocks.{changes.top(1).layers[0]}.mlp.hook_post"
        assert got.excluded_layers == excluded


@pytest.mark.parametrize(
    "text",
    [
        "layer,neuron,score\n0,3,0.5\n2,1,0.9\n",
        "Layer;Index;Change_Score\n0;3;0.5\n2;1;0.9\n",
        "hook,neuron,score\nblocks.0.mlp.hook_post,3,0.5\nblocks.2.mlp.hook_post,1,0.9\n",
    ],
)
def test_a_csv_of_layer_neuron_score_is_a_ranking(tmp_path, text):
    (tmp_path / "mine.csv").write_text(text)
    got = read_ranking(tmp_path / "mine.csv", Shape(LAYERS, NEURONS))
    top = got.top(2)
    assert list(zip(top.layers.tolist(), top.neurons.tolist(), strict=True)) == [(2, 1), (0, 3)]
    assert got.excluded_layers == (1, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layer,score\n0,1\n", "needs the columns"),
        ("layer,neuron,score\n", "0 rows"),
        ("layer,neuron,score\n0,1,high\n", "row 2: “high” is not a number"),
        ("layer,neuron,score\n0,-1,1\n", "whole number from 0"),
        ("layer,neuron,score\n0,1,1\n0,1,2\n", "twice"),
        ("layer,neuron,score\n9,1,1\n", "has 4 layers"),
        ("hook,neuron,score\nblocks.0.attn.hook_z,1,1\n", "not a hook of MLP neurons"),
    ],
)
def test_a_wrong_csv_is_one_sentence(tmp_path, text, words):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(ExplorerError, match=words) as caught:
        read_ranking(tmp_path / "mine.csv", Shape(LAYERS, NEURONS))
    assert "\n" not in str(caught.value)


def test_a_wrong_tensor_file_is_one_sentence(tmp_path):
    scores, ranks, *rest = authors_tuple(made_up())
    wrong = {
        "must hold a tuple": {"scores": scores},
        "numbers from 0": (scores[0], ranks),
        "shape \\[40, 2\\]": (scores, ranks[:5]),
        "twice": (scores, torch.zeros_like(ranks)),
        "highest first": (scores, ranks.flip(0)),
        "do not belong": (scores, ranks, *(r[:2] for r in rest)),
    }
    for words, saved in wrong.items():
        torch.save(saved, tmp_path / "wrong.pt")
        with pytest.raises(ExplorerError, match=words):
            read_ranking(tmp_path / "wrong.pt")
    torch.save(authors_tuple(made_up()), tmp_path / "right.pt")
    with pytest.raises(ExplorerError, match="9 × 9"):
        read_ranking(tmp_path / "right.pt", Shape(9, 9))
    torch.save((scores, Shape(1, 1)), tmp_path / "code.pt")  # an object of a class is not opened
    with pytest.raises(ExplorerError, match="plain tensors"):
        read_ranking(tmp_path / "code.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(ExplorerError, match="plain tensors"):
        read_ranking(tmp_path / "text.pt")
    with pytest.raises(ExplorerError, match="no ranking file"):
        read_ranking(tmp_path / "lost.pt")
    with pytest.raises(ExplorerError, match=r"a \.csv file"):
        write_ranking(made_up(), tmp_path / "out.xlsx")


def test_the_command_line_exports_and_reads_back(tmp_path):
    def rank(*args: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "explorer", "rank", *args]
        return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=120)

    done = rank("--export", str(tmp_path / "demo.csv"))
    assert done.returncode == 0, done.stderr
    assert "46,080 neurons" in done.stdout
    again = rank("--from", str(tmp_path / "demo.csv"), "--top", "3", "--csv").stdout.splitlines()
    shipped = rank("--top", "3", "--csv").stdout.splitlines()
    assert [line.split(",")[1] for line in again] == [line.split(",")[1] for line in shipped]
    wrong = rank("--from", str(tmp_path / "lost.csv"))
    assert (wrong.returncode, wrong.stdout) == (2, "")
