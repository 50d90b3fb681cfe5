"""What charts against a model's layers share."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from explorer.charts.legends import top_legend


def layer_axis() -> alt.X:
    """A model's layers from left to right; the column is `layer`."""
    return alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0, labelOverlap=True))


def coloured_bars(
    frame: pd.DataFrame,
    part: str,
    colours: Mapping[str, str],
    title: str,
    tooltip: Mapping[str, tuple[str, str]],
    height: int,
    **channels: Any,
) -> alt.Chart:
    """Neurons of each layer as bars, coloured by what they are part of.

    Args:
        frame: columns layer, neurons, `part` and those of the tooltip.
        part: the column that colours the bars.
        colours: the colour of each of its values, in order.
        title: of the axis of neurons.
        tooltip: for each column what it is called, and the format of its numbers; "" for text.
        height: in pixels.
        channels: others of the chart: order, xOffset.
    """
    parts = alt.Scale(domain=list(colours), range=list(colours.values()))
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=layer_axis(),
            y=alt.Y("neurons:Q", title=title),
            color=alt.Color(f"{part}:N", scale=parts, legend=top_legend(list(colours))),
            tooltip=[
                alt.Tooltip(f"{column}:Q", title=name, format=form)
                if form
                else alt.Tooltip(f"{column}:{'O' if column == 'layer' else 'N'}", title=name)
                for column, (name, form) in tooltip.items()
            ],
            **channels,
        )
        .properties(height=height)
    )
