"""What is written to the logits layer by layer, and the logit lens: lines by layer, and a heatmap token × layer."""

from collections.abc import Mapping

import altair as alt
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.legends import top_legend

DIVERGING = ["#A34700", "#D55E00", "#EFB48A", "#F3EFFC", "#B29BE7", "#7B4FD0", "#3C1C7A"]
"""From compliance (orange, as M1) to refusal (purple, as patched); told apart with any colour vision."""

_PER_TOKEN = 14
"""Pixels that a slanted token needs along the axis."""

_BESIDE = ("#0072B2", "#E69F00", "#CC79A7")


def model_colours(labels: Mapping[str, str]) -> dict[str, str]:
    """A colour for each label: M1, M2, random and the first set have those that they have on every page.

    Args:
        labels: of each set or model, by its name in the tables.
    """
    fixed = {"m1": palette.UNPATCHED, "m2": palette.ALIGNED, "random": palette.RANDOM}
    others = [name for name in labels if name not in fixed]
    own = dict(zip(others, (palette.PATCHED, *_BESIDE), strict=False))
    return {label: {**fixed, **own}.get(name, _BESIDE[-1]) for name, label in labels.items()}


def layer_bars(frame: pd.DataFrame, colours: Mapping[str, str], title: str) -> Layered:
    """Bars beside each other in every layer, with intervals.

    Args:
        frame: columns layer, series, value, low, high, n.
        colours: of each series, in order.
        title: of the value axis.
    """
    base = alt.Chart(frame).encode(
        x=alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        xOffset=alt.XOffset("series:N", sort=list(colours)),
        tooltip=_tooltip(title),
    )
    bars = base.mark_bar().encode(y=alt.Y("value:Q", title=title), color=_colour(colours))
    rules = base.mark_rule(color=palette.RANDOM).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    return alt.layer(bars, rules).properties(height=320)


def lens_chart(frame: pd.DataFrame, colours: Mapping[str, str], title: str) -> Layered:
    """A line with its band for each model.

    Args:
        frame: columns layer (−1 before the first block), series, value, low, high, n.
        colours: of each series, in order.
        title: of the value axis.
    """
    base = alt.Chart(frame).encode(
        x=alt.X(
            "layer:Q",
            title="After layer (−1: before the first)",
            axis=alt.Axis(grid=False, tickMinStep=1),
            scale=alt.Scale(nice=False, zero=False),
        ),
        color=_colour(colours),
        tooltip=_tooltip(title),
    )
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    y = alt.Y("value:Q", title=title)
    line, points = base.mark_line(strokeWidth=2.5).encode(y=y), base.mark_point(filled=True, size=45).encode(y=y)
    zero = alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(color=palette.RANDOM, strokeDash=[4, 4]).encode(y=y)
    return alt.layer(zero, band, line, points).properties(height=360)


def token_heatmap(frame: pd.DataFrame, title: str, limit: float) -> alt.Chart:
    """Layer × token: what each layer's residual stream says of the token that comes next.

    Args:
        frame: columns position, shown (the token with visible white space), layer, margin.
        title: of the colours.
        limit: the margin of the strongest colours, in logits, the same for charts that are compared.
    """
    order = frame.sort_values("position")["label"].drop_duplicates().tolist()
    colour = alt.Scale(domain=[limit * step / 3 for step in range(-3, 4)], range=DIVERGING, clamp=True)
    # Each label begins with its position: where there is no room for all, every second, third, … one stands.
    every = f"ceil({_PER_TOKEN * len(order)} / width)"
    shown = f"toNumber(split(datum.label, ' ')[0]) % {every} ? '' : datum.label"
    axis = alt.Axis(labelAngle=-60, labelOverlap=False, labelExpr=shown)
    legend = alt.Legend(title=title, titleLimit=320, orient="top", gradientLength=240)
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("label:N", sort=order, title=None, axis=axis),
            y=alt.Y("layer:O", sort="descending", title="After layer", axis=alt.Axis(labelOverlap=True)),
            color=alt.Color("margin:Q", scale=colour, legend=legend),
            tooltip=[
                alt.Tooltip("shown:N", title="After the token"),
                alt.Tooltip("position:Q", title="at position"),
                alt.Tooltip("layer:O", title="After layer"),
                alt.Tooltip("margin:Q", title=title, format="+.2f"),
            ],
        )
        .properties(height=440)
    )


def _colour(colours: Mapping[str, str]) -> alt.Color:
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color("series:N", scale=scale, legend=top_legend(list(colours)))


def _tooltip(title: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("series:N", title="Series"),
        alt.Tooltip("layer:O", title="Layer"),
        alt.Tooltip("value:Q", title=title, format="+.3f"),
        alt.Tooltip("low:Q", title="95 % interval from", format="+.3f"),
        alt.Tooltip("high:Q", title="to", format="+.3f"),
        alt.Tooltip("n:Q", title="n", format=","),
    ]
