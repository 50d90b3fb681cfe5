"""Single neurons: activations over words and what they write."""

import numpy as np
import pytest
import torch

from explorer.engine.inspect import activations_over_words, project, read_words, vocabulary_projection
from explorer.engine.reference import naive_activations
from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close


@pytest.fixture(scope="module")
def pair():
    return tiny.shared_pair()


def test_activations_are_those_of_a_plain_pass(pair):
    ns = NeuronSet.random(pair, 12, seed=1)
    seen = read_words(pair, "Hi there", ns, 6)
    out = pair.encode("Hi there")
    assert seen.words["part"].tolist().count("prompt") == len(out)
    assert seen.words["compared"].sum() == (seen.words["part"] == "answer").sum()
    text = out + _answer(pair)
    for model, got in ((pair.m1, seen.m1), (pair.m2, seen.m2)):
        naive = naive_activations(model, text)
        expected = np.stack([naive[a][:, b].numpy() for a, b in zip(ns.layers, ns.neurons, strict=True)])
        assert_close(got, expected, layers=pair.n_layers)


def _answer(pair) -> list[int]:
    from explorer.engine.options import Columns, Decoding
    from explorer.engine.patching import sweep

    return list(sweep(pair, ["Hi there"], Columns(aligned=False), Decoding(6)).unpatched[0].token_ids)


def test_one_neuron_as_a_table(pair):
    table = activations_over_words(pair, "Hi", 1, 3, 5)
    assert list(table.columns) == ["position", "token", "part", "m1", "m2"]


def test_projection_is_lm_head_of_the_normed_column(pair):
    table = vocabulary_projection(pair, 2, 7, top=5)
    m1 = pair.m1
    column = m1.model.layers[2].mlp.down_proj.weight[:, 7]
    with torch.inference_mode():
        logits = m1.lm_head(m1.model.norm(column[None]))[0]
    promoted = table[table["direction"] == "promotes"]
    assert_close(promoted["logit"], logits.topk(5).values)
    suppressed = table[table["direction"] == "suppresses"]
    assert_close(suppressed["logit"], (-logits).topk(5).values.neg())
    assert len(project(pair, NeuronSet.random(pair, 9), 3, batch=4)) == 9 * 3 * 2


def test_a_neuron_that_does_not_exist_is_refused(pair):
    with pytest.raises(ExplorerError, match="does not exist"):
        vocabulary_projection(pair, 99, 0)
    with pytest.raises(ExplorerError, match="1 to 100"):
        vocabulary_projection(pair, 0, 0, top=1000)
