"""The refusal margin: which tokens count, and that it is one direction over the vocabulary."""

import numpy as np
import pytest
import torch

from explorer.engine.token_margin import LEAST, choose_tokens
from explorer.errors import ExplorerError
from tests.close import assert_close

FIRST1, FIRST2 = np.array([7] * 6 + [8] * 3 + [9]), np.array([4] * 8 + [8] * 1 + [9])


def test_tokens_count_by_how_much_oftener_a_model_begins_with_them():
    margin = choose_tokens(FIRST1, FIRST2)
    assert margin.tokens.tolist() == [4, 7, 8]  # both begin with 9 once
    assert_close(margin.weights, [1.0, -6 / 8, -2 / 8], "float64")


def test_rare_differences_do_not_count():
    n = int(2 / LEAST)
    first1, first2 = np.full(n, 7), np.full(n, 4)
    first2[0] = 5
    assert choose_tokens(first1, first2).tokens.tolist() == [4, 7]


def test_it_is_linear_and_blind_to_what_all_logits_share():
    margin = choose_tokens(FIRST1, FIRST2)
    logits, hidden, unembedding = torch.randn(3, 12), torch.randn(3, 5), torch.randn(12, 5)
    assert_close(margin.of(logits), logits[:, 4] - 0.75 * logits[:, 7] - 0.25 * logits[:, 8])
    assert_close(margin.of(logits + 5), margin.of(logits), scale=10)
    assert_close(hidden @ margin.direction(unembedding), margin.of(hidden @ unembedding.T))


@pytest.mark.parametrize("second", [FIRST1, FIRST1[::-1]])
def test_models_that_begin_alike_have_no_margin(second):
    with pytest.raises(ExplorerError, match="answer differently"):
        choose_tokens(FIRST1, second)
