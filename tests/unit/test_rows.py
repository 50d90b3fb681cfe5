"""How rows change places, and what is computed once for several of them."""

import pytest
import torch

from explorer.engine.backends.choosing import begin
from explorer.engine.backends.fused import FusedPass
from explorer.engine.batch import DecodeBatch
from explorer.engine.decoding import decode, read_shared_prefix
from explorer.engine.options import ALIGNED, UNPATCHED, Columns, Decoding
from explorer.engine.rows import arrange
from explorer.neurons.sets import NeuronSet
from tests import tiny
from tests.close import assert_close


@pytest.mark.parametrize(
    ("sections", "wanted"),
    [
        ([[0, 1], [2, 3]], [[0, 1], [0, 1]]),  # nothing happened
        ([[0, 2], [3, 4]], [[0, 1], [1, 0]]),  # row 1 is gone: row 4 moves into the gap at the border
        ([[0], [1, 1]], [[0], [0, 1]]),  # row 1 parts in two
        ([[3], [1]], [[0], [0]]),
        ([[], [2, 0]], [[], [1, 0]]),
    ],
)
def test_few_rows_move(sections, wanted):
    orders = arrange(sections)
    assert [sorted(order) for order in orders] == [list(range(len(section))) for section in sections]
    lie = [section[i] for section, order in zip(sections, orders, strict=True) for i in order]
    expected = [section[i] for section, order in zip(sections, wanted, strict=True) for i in order]
    assert sum(row == place for place, row in enumerate(lie)) >= sum(row == place for place, row in enumerate(expected))


def test_rows_that_have_written_the_same_share_a_guide():
    pair = tiny.shared_pair()
    ids = pair.encode("Hi")
    small, large = NeuronSet.random(pair, 1, seed=3), NeuronSet.random(pair, pair.total_neurons // 2, seed=3)
    batch = DecodeBatch(
        pair, [ids], Columns([small, small, large]).as_patches, [UNPATCHED, 0, 1, 2, ALIGNED], Decoding(6)
    )
    assert len(batch.contexts) == 1
    for _ in range(5):
        batch.step()
        batch.advance()
        assert len(set(batch.contexts)) == len(batch.contexts) <= 3  # the two equal sets write the same text
        assert {row.context for row in (*batch.patched, *batch.aligned)} == set(batch.contexts)


def test_what_prompts_begin_with_is_read_once():
    pair = tiny.shared_pair()
    prompts = [pair.encode(p) for p in tiny.PROMPTS[:5]]
    what = Columns([NeuronSet.random(pair, 10, seed=1)])
    prefix = read_shared_prefix(pair, prompts, what)
    assert prefix is not None
    assert all(p[: len(prefix.ids)] == prefix.ids and len(p) > len(prefix.ids) for p in prompts)
    assert list(decode(pair, prompts, what, Decoding(6), prefix)) == list(decode(pair, prompts, what, Decoding(6)))


def test_a_shared_prefix_of_one_model_of_a_pair_alone():
    pair = tiny.lockstep_pair()
    prompts = [pair.encode(p) for p in tiny.PROMPTS[:3]]
    for what in (Columns(aligned=False), Columns(unpatched=False)):
        prefix = read_shared_prefix(pair, prompts, what)
        assert prefix is not None
        got = list(decode(pair, prompts, what, Decoding(4), prefix))
        assert got == list(decode(pair, prompts, what, Decoding(4)))


def test_there_is_no_shared_prefix_where_nothing_is_shared():
    pair = tiny.shared_pair()
    what = Columns([NeuronSet.random(pair, 10, seed=1)])
    assert read_shared_prefix(pair, [[5, 6, 7]], what) is None
    assert read_shared_prefix(pair, [[5, 6, 7], [6, 6, 7]], what) is None
    assert read_shared_prefix(tiny.any_pair("gpt2"), [[5, 6, 7], [5, 6, 8]], what) is None
    short = read_shared_prefix(pair, [[5, 6], [5, 6, 7]], what)
    assert short is not None
    assert short.ids == [5]


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_a_pass_whose_rows_moved_and_parted_goes_on_as_if_alone(kind):
    module = tiny.model(kind)
    texts = [[1, 2, 3], [4, 5], [6, 7, 8, 9]]
    moved = begin(module, 20)
    with torch.inference_mode():
        moved.forward(texts, lambda layer, h: None)
        moved.keep([2, 0, 2, 2, 1])
        got = moved.forward([[10], [11], [12], [13], [14]], lambda layer, h: None)[:, 0]
        for row, text in enumerate(
            ([*texts[2], 10], [*texts[0], 11], [*texts[2], 12], [*texts[2], 13], [*texts[1], 14])
        ):
            alone = begin(module, 20).forward([text], lambda layer, h: None)[:, 0]
            assert_close(got[row], alone[0], layers=tiny.LAYERS)


def test_a_branch_goes_on_with_texts_of_any_length():
    module = tiny.model("llama")
    start = begin(module, 3)
    assert isinstance(start, FusedPass)
    with torch.inference_mode():
        start.forward([[1, 2, 3], [4, 5, 6]], lambda layer, h: None)
        branch = start.branch([1, 0, 1], 20)
        rest = [[7], [8, 9, 10], [11, 12]]
        got = branch.forward(rest, lambda layer, h: None)[:, 0]
        for row, text in enumerate(([4, 5, 6, 7], [1, 2, 3, 8, 9, 10], [4, 5, 6, 11, 12])):
            alone = begin(module, 20).forward([text], lambda layer, h: None)[:, 0]
            assert_close(got[row], alone[0], layers=tiny.LAYERS)
