"""Which of the neurons that are patched other rankings share: layer × ranking."""

import altair as alt
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.by_layer import layer_axis
from explorer.charts.labels import PERCENT_AXIS


def patched_overlap_chart(cells: pd.DataFrame, n_layers: int) -> Layered:
    """A heatmap: for each layer and ranking, the share of the layer's patched neurons that the ranking's top holds.

    Args:
        cells: of `report.patched_overlap.layer_cells`: columns label, layer, patched, shared, share, chance.
        n_layers: of the model; layers without a patched neuron stay empty.
    """
    labels = list(dict.fromkeys(cells["label"]))
    layers = pd.DataFrame({"layer": range(n_layers)})
    y = alt.Y("label:N", title=None, sort=labels, axis=alt.Axis(labelLimit=260, labelOverlap=False))
    base = alt.Chart(cells).encode(x=layer_axis(), y=y)
    colour = alt.Color(
        "share:Q",
        title="Shared",
        scale=alt.Scale(domain=[0, 1], range=palette.RAMP),
        legend=alt.Legend(labelExpr=PERCENT_AXIS, orient="top", gradientLength=160, gradientThickness=8, tickCount=3),
    )
    tooltip = [
        alt.Tooltip("label:N", title="Top of"),
        alt.Tooltip("layer:O", title="Layer"),
        alt.Tooltip("patched:Q", title="Patched neurons", format=","),
        alt.Tooltip("shared:Q", title="of them shared", format=","),
        alt.Tooltip("share:Q", title="Share", format=".0%"),
        alt.Tooltip("chance:Q", title="By chance", format=".1%"),
    ]
    every = alt.Chart(layers).mark_point(opacity=0).encode(x=layer_axis())  # all layers stand on the axis
    return alt.layer(every, base.mark_rect().encode(color=colour, tooltip=tooltip)).properties(
        height=130 + 26 * len(labels)
    )
