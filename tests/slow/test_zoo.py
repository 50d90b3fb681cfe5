"""Every causal language model type that transformers builds does what `docs/models.md` says of it."""

from pathlib import Path

import pytest

from tests import zoo
from tests.zoo_checks import WRONG, read_page, verdict_apart

pytestmark = pytest.mark.slow

PAGE = read_page(Path("docs/models.md"))


@pytest.mark.parametrize("kind", zoo.types())
def test_a_type_is_what_the_page_says(kind):
    found = verdict_apart(kind)
    assert found.outcome != WRONG, found.reason
    assert found.outcome == PAGE[kind].outcome, found.reason
