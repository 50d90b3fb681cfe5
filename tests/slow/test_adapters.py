"""What the shipped safety adapters must do: every acceptance criterion, from one set of answers (`make test-slow`).

The same numbers, as a table: `EXPLORER_DATA=… python -m explorer acceptance`.
"""

import os

import pytest

import explorer
from explorer.models import embedded
from explorer.models.pair_file import read_pair_file
from explorer.studies.acceptance import acceptance, red_team_presets
from explorer.studies.criteria import CRITERIA, MET, NOT_MEASURED, as_line

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3 * 3600),  # the first test waits for all answers
    pytest.mark.skipif(not embedded.available(), reason=f"the embedded model is not installed: {embedded.INSTALL}"),
]


@pytest.fixture(scope="session")
def found():
    seeds = [read_pair_file(name) for name in ("safety_seed1", "safety_seed2")]
    return {f.criterion.key: f for f in acceptance(explorer.load_pair("demo"), seeds)}


@pytest.mark.parametrize("key", [c.key for c in CRITERIA])
def test_the_criterion_is_met(found, key):
    if found[key].verdict == NOT_MEASURED and not os.environ.get("EXPLORER_DATA"):
        pytest.skip("needs the public data sets: set EXPLORER_DATA to their folder")
    assert found[key].verdict == MET, as_line(found[key])


def test_there_are_eight_red_team_presets_and_a_lock_where_one_is_named():
    presets = red_team_presets()
    assert len(presets) == 8
    assert all("lock" in preset.prompt for preset in presets if "lock" in preset.label.lower().split())
