"""Neurons chosen in a chart, however the browser spells their customdata."""

from types import SimpleNamespace

from explorer.ui import neuron_selection


def test_both_spellings_of_customdata_name_neurons(monkeypatch) -> None:
    points = [
        {"customdata": {"0": 14, "1": 451, "2": 36}},
        {"customdata": [3.0, 7.0, 0.5, 0.25]},
        {"customdata": {"0": 14, "1": 451, "2": 36}},
        {"x": 1, "y": 2},
    ]
    state = {"map": SimpleNamespace(selection=SimpleNamespace(points=points))}
    monkeypatch.setattr(neuron_selection, "st", SimpleNamespace(session_state=state))
    assert neuron_selection.chosen_neurons("map") == [(14, 451), (3, 7)]
    assert neuron_selection.chosen_neurons("other") == []
