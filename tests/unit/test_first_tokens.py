"""The study of first tokens: what both models begin with, from its table to its sentence and its margin."""

import numpy as np
import pytest

from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.studies.first_tokens import (
    FirstTokens,
    margin_of,
    read_first_tokens,
    tokens_sentence,
    tokens_table,
    write_tokens,
)
from tests import tiny
from tests.close import assert_close

FIRST1, FIRST2 = np.array([7] * 6 + [8] * 3 + [9]), np.array([4] * 8 + [8] * 1 + [9])
WORDS = ["I", "The", " A", "1"]  # of 4, 7, 8, 9


class Models:
    """One pair, whatever is asked for."""

    def __init__(self, pair) -> None:
        self._pair = pair

    def pair(self, first="m1", second="m2"):
        return self._pair


def test_the_table_holds_every_first_token_and_gives_the_margin():
    table = tokens_table("redteam_train", FIRST1, FIRST2, WORDS)
    assert table["token"].tolist() == [4, 9, 8, 7]
    assert table["m2"].tolist() == [0.8, 0.1, 0.1, 0.0]
    assert FirstTokens.tables[0].unknown(list(table)) == FirstTokens.tables[0].missing(list(table)) == []
    margin = margin_of(table)
    assert sorted(margin.tokens.tolist()) == [4, 7, 8]
    assert_close(margin.weights.sum(), 0.0, scale=1.0)


def test_the_sentence_names_both_sides():
    said = tokens_sentence(tokens_table("redteam_train", FIRST1, FIRST2, WORDS)).replace("\u00a0", " ")
    assert "with “I” (80 % of them, 0 % of M1's)" in said
    assert "M1 with “The”, “A” (90 %, 10 % of M2's)" in said
    assert "n = 10" in said


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_the_task_reads_the_greedy_first_token(kind):
    pair = tiny.any_pair(kind)
    got = read_first_tokens(Models(pair), None, tiny.PROMPTS[:4])
    out = sweep(pair, tiny.PROMPTS[:4], Columns(), Decoding(3))
    assert got["m1"].tolist() == [answer.token_ids[0] for answer in out.unpatched]
    assert got["m2"].tolist() == [answer.token_ids[0] for answer in out.aligned]
    assert write_tokens(Models(pair), [65, 66], None) == [pair.tokenizer.decode([65]), pair.tokenizer.decode([66])]
