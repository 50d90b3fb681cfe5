"""Boundary of the tests: nothing is fetched from a hub, nothing outside the temporary folders is written.

The embedded model is converted at most once a machine, in the user's cache folder, as for a person.
"""

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_MAIN = sys.modules["__main__"]


@pytest.fixture(autouse=True)
def _own_main() -> Iterator[None]:
    """AppTest puts a page's script in the place of `__main__`, which processes that later tests start would run."""
    sys.modules["__main__"] = _MAIN  # a fixture of a whole module may have shown a page already
    yield
    sys.modules["__main__"] = _MAIN
