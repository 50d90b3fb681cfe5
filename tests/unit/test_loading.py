"""Loading in a thread: it can be given up, and what is let go of is gone."""

import gc
import threading
import weakref

import pytest

from explorer.errors import ExplorerError
from explorer.serve.loading import SharedPair


class Models:
    """Stands for a loaded pair."""


def test_a_released_pair_is_gone():
    shared = SharedPair("any", lambda _tell: Models())
    shared.start()
    assert shared.wait(5)
    gone = weakref.ref(shared.result())
    shared.release()
    gc.collect()
    assert gone() is None
    assert not shared.ready


def test_a_cancelled_load_is_over_at_once_and_keeps_nothing():
    go_on, loaded = threading.Event(), []

    def load(tell):
        tell("Loading M1", 0.1)
        go_on.wait(5)
        models = Models()
        loaded.append(weakref.ref(models))
        tell("Loading M2", 0.5)
        pytest.fail("a cancelled load went on")
        return models

    shared = SharedPair("any", load)
    shared.start()
    assert shared.loading
    shared.cancel()
    assert shared.wait(1)
    with pytest.raises(ExplorerError, match="cancelled"):
        shared.result()
    go_on.set()
    shared._last.join(5)
    gc.collect()
    assert loaded[0]() is None
    assert not shared.ready


def test_a_load_after_a_cancelled_one_waits_for_it_and_succeeds():
    go_on, order = threading.Event(), []

    def load(tell):
        first = not order
        order.append("began")
        if first:
            go_on.wait(5)
        tell("Models ready", 1.0)
        order.append("ended")
        return Models()

    shared = SharedPair("any", load)
    shared.start()
    shared.cancel()
    shared.start()
    assert not shared.wait(0.2)
    assert order == ["began"]
    go_on.set()
    assert shared.wait(5)
    assert shared.ready
    assert order == ["began", "began", "ended"]
    shared.cancel()  # nothing goes on: nothing happens
    assert shared.ready
