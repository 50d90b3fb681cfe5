"""Neuron sets: every way to choose one, and what they refuse."""

import numpy as np
import pytest

from explorer.errors import ExplorerError
from explorer.neurons.scores import ChangeScores
from explorer.neurons.sets import NeuronSet


class Shape:
    n_layers, n_neurons = 4, 50


@pytest.fixture
def changes() -> ChangeScores:
    rng = np.random.default_rng(0)
    arrays = [rng.random((4, 50)).astype(np.float32) for _ in range(5)]
    return ChangeScores(arrays[0], 100, *arrays[1:])


def test_top_takes_the_highest_scores(changes):
    ns = changes.top(fraction=0.1)
    assert len(ns) == 20
    assert ns.layers.dtype == ns.neurons.dtype == np.int64
    chosen = changes.scores[ns.layers, ns.neurons]
    assert list(chosen) == sorted(changes.scores.reshape(-1), reverse=True)[:20]
    assert changes.top(20) == ns


@pytest.mark.parametrize(("fraction", "k"), [(0, 0), (1, 200), (0.05, 10), (0.0026, 1), (1.0, 200)])
def test_fraction_rounds_to_the_nearest_count(changes, fraction, k):
    assert len(changes.top(fraction=fraction)) == k


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), "5 %", None])
def test_a_fraction_out_of_range_is_refused(changes, fraction):
    with pytest.raises(ExplorerError):
        changes.top(fraction=fraction)


def test_equal_scores_are_ranked_by_place(changes):
    flat = ChangeScores(np.zeros((4, 50), np.float32), 1, *[np.zeros((4, 50), np.float32)] * 4)
    assert list(flat.order) == list(range(200))


def test_ranks_and_windows_agree(changes):
    window = changes.window(10, 5)
    assert list(changes.ranks[window.layers, window.neurons]) == [11, 12, 13, 14, 15]
    with pytest.raises(ExplorerError, match="do not exist"):
        changes.window(198, 5)


def test_random_like_has_the_same_number_per_layer_and_is_disjoint(changes):
    ns = changes.top(fraction=0.3)
    control = NeuronSet.random_like(ns, changes, seed=3)
    assert np.array_equal(control.per_layer(), ns.per_layer())
    assert len(control & ns) == 0
    assert control == NeuronSet.random_like(ns, changes, seed=3)
    assert control != NeuronSet.random_like(ns, changes, seed=4)


def test_random_like_says_when_no_disjoint_set_exists(changes):
    with pytest.raises(ExplorerError, match="no disjoint"):
        NeuronSet.random_like(NeuronSet.all(changes))


def test_set_operations(changes):
    a, b = changes.window(0, 10), changes.window(5, 10)
    assert (a & b) == changes.window(5, 5)
    assert (a - b) == changes.window(0, 5)
    assert (a | b) == changes.window(0, 15)


def test_layer_random_and_pairs():
    assert NeuronSet.layer(Shape(), -1).per_layer().tolist() == [0, 0, 0, 50]
    assert len(NeuronSet.random(Shape(), 7, seed=1)) == 7
    assert NeuronSet.from_pairs([(1, 2)], Shape()).mask().sum() == 1
    with pytest.raises(ExplorerError, match="0 to 200"):
        NeuronSet.random(Shape(), 201)


@pytest.mark.parametrize("text", ["1.2, 3.4", "L1.2\nL3.4", "1:2 3/4;", " 3.4,1.2 "])
def test_a_pasted_list_is_read(text):
    assert NeuronSet.parse(text, Shape()) == NeuronSet.from_pairs([(1, 2), (3, 4)], Shape())


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "empty"), ("1", "layer.index"), ("9.9", "does not exist"), ("1.2 1.2", "twice"), ("<b>", "layer.index")],
)
def test_a_wrong_list_is_one_clear_sentence(text, words):
    with pytest.raises(ExplorerError, match=words) as caught:
        NeuronSet.parse(text, Shape())
    assert "\n" not in str(caught.value)


def test_excluded_layers_are_left_out_of_every_choice(changes):
    fewer = changes.without_layers(-1)
    assert 3 not in fewer.top(150).layers
    with pytest.raises(ExplorerError, match="150"):
        fewer.top(151)
    assert (fewer.ranks[3] == 0).all()
