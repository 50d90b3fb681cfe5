"""The map of all neurons: darkest where the ranking is highest, a set lit up, and small however large the model."""

import numpy as np

from explorer.charts import neuron_map as charts
from explorer.neurons.sets import NeuronSet
from explorer.runs.reader import open_run


def test_the_highest_rank_is_darkest_and_every_lit_neuron_is_a_point():
    ranking = open_run("cache/demo").ranking("attribution")
    top = ranking.top(fraction=0.01)
    shades = charts.shades(ranking)
    assert shades.shape == ranking.scores.shape
    best = top.layers[0], top.neurons[0]
    assert ranking.ranks[best] == 1
    assert shades[best] == charts.SHADES - 1
    figure = charts.neuron_map(ranking, top)
    points = figure.data[1]
    assert len(points.x) == len(top)
    assert f"{ranking.scores.size:,} neurons" in charts.map_caption(ranking, top)
    assert len(figure.to_json()) < 400_000


def test_an_unranked_layer_is_light_and_can_be_lit():
    ranking = open_run("cache/demo").ranking("attribution").without_layers(29)
    assert not charts.shades(ranking)[29].any()
    figure = charts.neuron_map(ranking, NeuronSet.from_flat(np.array([29 * 1536 + 5]), ranking, "one"))
    assert list(figure.data[1].x) == [5]
