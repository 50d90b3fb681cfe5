"""All neurons of a model at once, layer against index, with a set of them lit up; drawn by WebGL.

neuron_map(ranking, ranking.top(fraction=0.01))
"""

from typing import TYPE_CHECKING

import numpy as np

from explorer.charts import palette
from explorer.charts.scores import blocks_of
from explorer.neurons.ranking import Ranking
from explorer.neurons.sets import NeuronSet

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLUMNS = 2_048
"""Cells of a layer at most: of wider layers a cell stands for several neurons, the highest-ranked of them."""

MOST_LIT = 50_000
"""Points at most: of larger sets the highest-ranked are drawn."""

SHADES = 32


def shades(ranking: Ranking) -> np.ndarray:
    """How high each neuron ranks, uint8 [layers, cells]: 0 the lowest or unranked, `SHADES` − 1 the highest.

    By rank and on a log scale, not by score: scores span powers of ten, and a few would leave all others dark.
    """
    ranks = ranking.ranks.astype(np.float64)
    last = float(max(2, len(ranking.order)))
    height = np.where(ranks > 0, 1 - np.log(np.maximum(ranks, 1)) / np.log(last), 0.0)
    highest = blocks_of(height, COLUMNS, 0.0).max(axis=2)
    return np.minimum(highest * SHADES, SHADES - 1).astype(np.uint8)


def neuron_map(ranking: Ranking, lit: NeuronSet) -> "go.Figure":
    """Every neuron, the more shaded the higher it ranks, and the lit ones as points.

    Args:
        ranking: of the model.
        lit: what lights up.
    """
    import plotly.graph_objects as go

    layers, width = ranking.scores.shape
    seen = shades(ranking)
    step = -(-width // COLUMNS)
    ranks = ranking.ranks[lit.layers, lit.neurons]
    shown = np.argsort(np.where(ranks > 0, ranks, ranks.max(initial=0) + 1), kind="stable")[:MOST_LIT]
    places = np.stack([lit.layers[shown], lit.neurons[shown], ranks[shown]], axis=1)
    figure = go.Figure(
        [
            go.Heatmap(
                z=seen,
                x0=(step - 1) / 2,
                dx=step,
                colorscale=[[0, "rgba(138,143,152,0.10)"], [1, "rgba(138,143,152,0.75)"]],
                showscale=False,
                hoverinfo="skip",
            ),
            go.Scattergl(  # typed arrays travel as bytes, not as digits
                x=lit.neurons[shown].astype(np.int32),
                y=lit.layers[shown].astype(np.int16),
                customdata=places.astype(np.int32),
                mode="markers",
                marker={
                    "color": palette.PATCHED,
                    "size": 6 if len(shown) < 1_000 else 3,
                    "opacity": 0.95,
                    "line": {"width": 0.5, "color": "rgba(255,255,255,0.6)"},
                },
                hovertemplate="L%{customdata[0]:d}.%{customdata[1]:d}, rank %{customdata[2]:,d}<extra></extra>",
            ),
        ]
    )
    figure.update_layout(
        height=max(180, min(340, 5 * layers + 55)),
        margin={"l": 10, "r": 10, "t": 6, "b": 10},
        showlegend=False,
        xaxis={
            "title": {"text": "Neuron, by its index in the layer", "standoff": 4},
            "range": [-1, width],
            "showgrid": False,
            "zeroline": False,
            "separatethousands": True,
        },
        yaxis={"title": "Layer", "range": [-0.5, layers - 0.5], "showgrid": False, "zeroline": False},
    )
    return figure


def map_caption(ranking: Ranking, lit: NeuronSet) -> str:
    """What the map shows, in words."""
    of = f"All {ranking.scores.size:,} neurons, the more shaded the higher they rank"
    drawn = "" if len(lit) <= MOST_LIT else f" (the first {MOST_LIT:,} are drawn)"
    return f"{of}; the {len(lit):,} that are patched light up{drawn}."
