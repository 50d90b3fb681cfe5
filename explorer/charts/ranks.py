"""Two rankings of the same neurons side by side: where each neuron stands in both, and where their top sets lie."""

from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd

from explorer.charts import palette
from explorer.charts.by_layer import coloured_bars
from explorer.charts.labels import percent
from explorer.neurons.ranking import Ranking, count_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST = 20_000
"""Points of the scatter at most: of larger models each series is thinned evenly."""

PARTS = ("neither", "only x", "only y", "both")
"""In which top set a neuron is."""

_COLOURS = {"neither": palette.RANDOM, "only x": "#0072B2", "only y": "#E69F00", "both": palette.PATCHED}


def rank_points(x: Ranking, y: Ranking, fraction: float) -> pd.DataFrame:
    """Where neurons stand in two rankings; of larger models each part is thinned, evenly over the ranks.

    Args:
        x, y: rankings of one model.
        fraction: of all neurons in a top set.

    Returns:
        Columns layer, neuron, x, y (ranks from 1), score_x, score_y, part (one of `PARTS`); neurons of layers that
        either ranking excludes are left out.
    """
    first, second = x.ranks.reshape(-1), y.ranks.reshape(-1)
    order = x.order[second[x.order] > 0]
    k = count_of(fraction, first.size)
    part = (first[order] <= k) + 2 * (second[order] <= k)
    kept = []
    for number in range(len(PARTS)):
        of_part = order[part == number]
        kept.append(of_part[:: max(1, -(-len(of_part) // (MOST // len(PARTS))))])
    flat = np.concatenate(kept)
    return pd.DataFrame(
        {
            "layer": flat // x.n_neurons,
            "neuron": flat % x.n_neurons,
            "x": first[flat],
            "y": second[flat],
            "score_x": x.scores.reshape(-1)[flat],
            "score_y": y.scores.reshape(-1)[flat],
            "part": np.repeat(PARTS, [len(of_part) for of_part in kept]),
        }
    )


def rank_figure(points: pd.DataFrame, x_label: str, y_label: str) -> "go.Figure":
    """A point a neuron, by WebGL, ranks on log axes.

    Args:
        points: of `rank_points`.
        x_label, y_label: the rankings' names.
    """
    import plotly.graph_objects as go

    names = {"neither": "in neither", "only x": f"only {x_label}", "only y": f"only {y_label}", "both": "in both"}
    hover = (
        "L%{customdata[0]:d}.%{customdata[1]:d}<br>"
        f"{x_label}: rank %{{x:,d}}, score %{{customdata[2]:.4g}}<br>"
        f"{y_label}: rank %{{y:,d}}, score %{{customdata[3]:.4g}}<extra></extra>"
    )
    figure = go.Figure()
    for part in PARTS:
        rows = points[points["part"] == part]
        if len(rows):
            figure.add_trace(
                go.Scattergl(  # typed arrays travel as bytes, not as digits
                    x=rows["x"].to_numpy(np.int32),
                    y=rows["y"].to_numpy(np.int32),
                    customdata=rows[["layer", "neuron", "score_x", "score_y"]].to_numpy(np.float32),
                    mode="markers",
                    name=names[part],
                    marker={"color": _COLOURS[part], "size": 4 if part == "neither" else 6, "opacity": 0.6},
                    hovertemplate=hover,
                )
            )
    axis = {"type": "log", "dtick": 1, "exponentformat": "none", "separatethousands": True, "zeroline": False}
    figure.update_layout(
        height=520,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={**axis, "title": f"Rank in {x_label} (log scale)"},
        yaxis={**axis, "title": f"Rank in {y_label} (log scale)"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "itemsizing": "constant", "title": ""},
    )
    return figure


def layers_chart(shares: pd.DataFrame, fraction: float) -> alt.Chart:
    """Neurons of both top sets in each layer.

    Args:
        shares: columns series (a ranking's name), layer, neurons, share.
        fraction: the size of the top sets.
    """
    series = list(dict.fromkeys(shares["series"]))
    colours = dict(zip(series, (_COLOURS["only x"], _COLOURS["only y"]), strict=False))
    tooltip = {
        "series": ("Ranking", ""),
        "layer": ("Layer", ""),
        "neurons": ("Neurons", ","),
        "share": ("Share of the top set", ".1%"),
    }
    title = f"Neurons of the top {percent(fraction)}"
    offset = alt.XOffset("series:N", sort=series)
    return coloured_bars(shares, "series", colours, title, tooltip, 260, xOffset=offset)
