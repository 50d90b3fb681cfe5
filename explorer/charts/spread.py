"""How single neurons spread over a value, set by set: a tick a neuron."""

import altair as alt
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.labels import lines
from explorer.charts.matrix import series_colour


def spread_chart(frame: pd.DataFrame, title: str) -> Layered:
    """A tick for every neuron, and a diamond at the mean of each set.

    Args:
        frame: columns set, series, neuron, rank, value, low, high, n.
        title: of the value axis.
    """
    sets, series = (list(dict.fromkeys(frame[column])) for column in ("set", "series"))
    y = alt.Y("set:N", title=None, sort=sets, axis=alt.Axis(labelLimit=240))
    offset = alt.YOffset("series:N", sort=series, scale=alt.Scale(domain=series, paddingOuter=0.3))
    x = alt.X("value:Q", title=lines(title), axis=alt.Axis(tickCount=8))
    base = alt.Chart(frame).encode(y=y, yOffset=offset, color=series_colour(series))
    ticks = base.mark_tick(thickness=2, size=18, opacity=0.6).encode(
        x=x,
        tooltip=[
            alt.Tooltip("set:N", title="Set"),
            alt.Tooltip("neuron:N", title="Neuron"),
            alt.Tooltip("rank:Q", title="Rank in its set", format=","),
            alt.Tooltip("series:N", title="Direction"),
            alt.Tooltip("value:Q", title=title, format=".3f"),
            alt.Tooltip("low:Q", title="95 % interval from", format=".3f"),
            alt.Tooltip("high:Q", title="to", format=".3f"),
            alt.Tooltip("n:Q", title="Prompts", format=","),
        ],
    )
    means = frame.groupby(["set", "series"], sort=False, as_index=False)["value"].mean()
    mean = alt.Chart(means).encode(y=y, yOffset=offset, color=series_colour(series))
    diamonds = mean.mark_point(shape="diamond", filled=True, size=110, opacity=1).encode(
        x=x,
        tooltip=[
            alt.Tooltip("set:N", title="Set"),
            alt.Tooltip("series:N", title="Direction"),
            alt.Tooltip("value:Q", title="Mean over its neurons", format=".3f"),
        ],
    )
    rule = alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(color=palette.RANDOM, strokeDash=[4, 4])
    return alt.layer(rule.encode(x="value:Q"), ticks, diamonds).properties(height=130 + 60 * len(sets))
