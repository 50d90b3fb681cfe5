"""How much goes into one pass: halved where the device has no room, and never added twice."""

import numpy as np
import pytest
import torch

from explorer.engine import attribution, contrast, memory, patching
from explorer.engine.memory import in_batches, rows_with_room
from explorer.engine.options import Columns, Decoding
from explorer.engine.patching import sweep
from explorer.errors import ExplorerError
from explorer.neurons.sets import NeuronSet
from tests import tiny


class Small:
    """Work that runs out of memory with more than so many items, after it has begun."""

    def __init__(self, most: int, work):
        self.most, self.work, self.sizes = most, work, []

    def __call__(self, *args):
        items = next(arg for arg in args if isinstance(arg, list))
        self.sizes.append(len(items))
        found = self.work(*args)
        if len(items) > self.most:
            raise torch.OutOfMemoryError
        return found


def test_half_as_many_from_then_on(caplog):
    done, shares = [], []
    work = Small(3, lambda items: None)
    in_batches(list(range(10)), 8, lambda items: (work(items), done.extend(items)), shares.append)
    assert done == list(range(10))
    assert work.sizes == [8, 4, 2, 2, 2, 2, 2]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert "8 texts at once; going on with 4" in caplog.text


def test_no_room_for_one_is_a_sentence():
    with pytest.raises(ExplorerError, match="no room for one text"):
        in_batches([1, 2], 2, Small(0, lambda items: None))


def test_a_batch_that_ran_out_of_memory_is_not_added_twice(monkeypatch):
    pair = tiny.shared_pair()
    whole = contrast.contrast(pair, tiny.PROMPTS, 6)
    causes = attribution.attribute(pair, tiny.PROMPTS, 6, 2)
    spent = []

    def fail_once(pair, inputs, *args, plain=contrast._read_shared):
        if not spent:
            spent.append(1)
            raise torch.OutOfMemoryError
        return plain(pair, inputs, *args)

    monkeypatch.setattr(contrast, "_read_shared", fail_once)
    again = contrast.contrast(pair, tiny.PROMPTS, 6)
    assert spent
    assert again.count == whole.count
    np.testing.assert_allclose(again.scores, whole.scores, rtol=1e-5)

    plain, calls = attribution.mixed_gradients, []

    def fail_at_the_second_step(*args):
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError
        return plain(*args)

    monkeypatch.setattr(attribution, "mixed_gradients", fail_at_the_second_step)
    again = attribution.attribute(pair, tiny.PROMPTS, 6, 2)
    np.testing.assert_allclose(again.scores, causes.scores, rtol=1e-4, atol=1e-6)
    assert again.count == causes.count


def test_answers_that_were_begun_are_begun_anew(monkeypatch):
    pair, ns = tiny.shared_pair(), NeuronSet.random(tiny.shared_pair(), 20)
    want = sweep(pair, tiny.PROMPTS, Columns([ns]), Decoding(8))
    plain, spent = patching.decode, []

    def fail_on_the_way(*args):
        for number, step in enumerate(plain(*args)):
            yield step
            if number == 3 and not spent:
                spent.append(1)
                raise torch.OutOfMemoryError

    monkeypatch.setattr(patching, "decode", fail_on_the_way)
    assert sweep(pair, tiny.PROMPTS, Columns([ns]), Decoding(8)) == want
    assert spent


def test_rows_follow_what_is_free(monkeypatch):
    pair = tiny.shared_pair()
    row = 10 * (2 * tiny.LAYERS * 1 * 8 * 4 + memory.ACTIVATIONS * tiny.NEURONS * 4)
    for free, rows in ((200 * row, 100), (2 * row, 1), (0, 1)):
        monkeypatch.setattr(memory, "_free_bytes", lambda _device, free=free: float(free))
        assert rows_with_room(pair, 10) == rows
