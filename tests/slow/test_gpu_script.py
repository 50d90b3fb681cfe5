"""`make gpu` on this machine, with small shapes: it runs, and what it counts is exact."""

import pytest

from tests.bench.measure import own_process

pytestmark = pytest.mark.slow


def test_the_small_form_runs_and_is_exact():
    printed = own_process("-m", "tests.bench.gpu", "--small", "--only", "computations", "Gemma-7B")
    assert "Gemma-7B: attribution" in printed
