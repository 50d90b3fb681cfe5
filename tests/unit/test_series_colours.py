"""Models and random neurons have one colour on every chart; other series take the rest in turn."""

from explorer.charts import palette
from explorer.charts.matrix import SERIES_COLOURS, series_colour


def _colours(*series: str) -> list[str]:
    return series_colour(list(series)).to_dict()["scale"]["range"]


def test_models_and_random_neurons_have_their_own_colours() -> None:
    found = _colours("Top by attribution", "Random neurons of the same layers", "M1", "M2")
    assert found == [palette.PATCHED, palette.RANDOM, palette.UNPATCHED, palette.ALIGNED]


def test_other_series_take_the_colours_in_turn() -> None:
    names = [f"Series {number}" for number in range(9)]
    assert _colours(*names) == [SERIES_COLOURS[number % len(SERIES_COLOURS)] for number in range(9)]


def test_two_random_series_are_told_apart() -> None:
    found = _colours("Random neurons: the prompt", "Random neurons: the answer", "M2")
    assert len(set(found)) == 3
    assert found[2] == palette.ALIGNED
