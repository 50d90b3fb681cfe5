"""A matrix whose cells can be clicked, dots with intervals, and curves: what the pages of the studies draw."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from explorer.charts import Layered, either, palette
from explorer.charts.labels import PERCENT_AXIS, lines
from explorer.charts.legends import legend_height, top_legend

CELL = "cell"
"""The selection of a matrix: a click gives its two fields."""

SERIES_COLOURS = [palette.PATCHED, "#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#A07A1F", "#C44E52"]
"""Colours of series that have none of their own: not those that mean M1, M2 or random neurons on every page."""


@dataclass(frozen=True)
class Matrix:
    """What stands where in a matrix.

    Attributes:
        x, y: columns of the frame that name its columns and rows; a click gives their values.
        x_title, y_title: of the axes.
        value: the column that colours the cells and stands in them.
        form: a number format of d3.
        tooltip: further columns and their titles and formats.
        domain: lowest and highest colour; from the data when left out.
    """

    x: str
    y: str
    x_title: str
    y_title: str
    value: str
    form: str
    tooltip: Sequence[tuple[str, str, str]] = ()
    domain: tuple[float, float] | None = None


def matrix_chart(frame: pd.DataFrame, what: Matrix, chosen: tuple[object, object]) -> Layered:
    """A clickable matrix (selection `CELL`).

    Args:
        frame: a row for each cell, with columns x_label and y_label beside those of `what`.
        what: which column is what.
        chosen: the x and y of the cell that is framed.
    """
    low, high = what.domain or _domain(frame[what.value])
    columns, rows = (list(dict.fromkeys(frame[c])) for c in ("x_label", "y_label"))
    cell = alt.selection_point(name=CELL, fields=[what.x, what.y], empty=False)
    x = alt.X("x_label:N", title=what.x_title, sort=columns, axis=alt.Axis(labelAngle=-30, labelLimit=200))
    y = alt.Y("y_label:N", title=what.y_title, sort=rows, axis=alt.Axis(labelLimit=240))
    colour = alt.Color(
        f"{what.value}:Q", scale=alt.Scale(domain=[low, high], range=palette.RAMP, clamp=True), legend=None
    )
    tooltip = [
        alt.Tooltip("y_label:N", title=what.y_title),
        alt.Tooltip("x_label:N", title=what.x_title),
        alt.Tooltip(f"{what.value}:Q", title="Value", format=what.form),
        *(alt.Tooltip(f"{name}:Q", title=title, format=form) for name, title, form in what.tooltip),
    ]
    base = alt.Chart(frame).encode(x=x, y=y, tooltip=tooltip)
    dark = f"datum['{what.value}'] > {low + (high - low) * 0.45}"
    on = either(dark, palette.TEXT_ON_DARK, palette.TEXT_ON_LIGHT)
    framed = frame[(frame[what.x] == chosen[0]) & (frame[what.y] == chosen[1])]
    return alt.layer(
        base.mark_rect(cursor="pointer").encode(color=colour).add_params(cell),
        base.transform_filter(f"isValid(datum['{what.value}'])")
        .mark_text(fontSize=12, fontWeight=600)
        .encode(text=alt.Text(f"{what.value}:Q", format=what.form), color=on),
        alt.Chart(framed)
        .mark_rect(filled=False, stroke=palette.UNPATCHED, strokeWidth=3, aria=False)
        .encode(x=x, y=y, tooltip=tooltip),
    ).properties(height=120 + 38 * len(rows))


def interval_chart(frame: pd.DataFrame, title: str, *, share: bool, zero: bool = True) -> Layered:
    """A dot with its interval for every row, with series apart by colour and shift.

    Args:
        frame: columns row, series, value, low, high, n.
        title: of the value axis.
        share: whether values are shares, drawn in percent.
        zero: whether a rule marks 0.
    """
    series = list(dict.fromkeys(frame["series"]))
    form = ".1%" if share else ".3f"
    axis = alt.Axis(labelExpr=PERCENT_AXIS, tickCount=10) if share else alt.Axis(tickCount=10)
    base = alt.Chart(frame).encode(
        y=alt.Y("row:N", title=None, sort=list(dict.fromkeys(frame["row"])), axis=alt.Axis(labelLimit=320)),
        yOffset=alt.YOffset("series:N", sort=series, scale=alt.Scale(domain=series, paddingOuter=0.4)),
        color=series_colour(series),
        tooltip=[
            alt.Tooltip("row:N", title="Of"),
            alt.Tooltip("series:N", title="Series"),
            alt.Tooltip("value:Q", title=title, format=form),
            alt.Tooltip("low:Q", title="95 % interval from", format=form),
            alt.Tooltip("high:Q", title="to", format=form),
            alt.Tooltip("n:Q", title="n", format=","),
        ],
    )
    layers: list[alt.Chart] = []
    if zero:
        rule = pd.DataFrame({"value": [0.0]})
        layers.append(alt.Chart(rule).mark_rule(color=palette.RANDOM, strokeDash=[4, 4]).encode(x="value:Q"))
    in_lines = lines(title)
    layers.append(base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x=alt.X("low:Q", title=in_lines), x2="high:Q"))
    value = alt.X("value:Q", title=in_lines, axis=axis)
    layers.append(base.mark_point(filled=True, size=90, opacity=1).encode(x=value))
    return alt.layer(*layers).properties(height=50 + frame["row"].nunique() * (26 + 20 * len(series)))


def curve_chart(
    frame: pd.DataFrame,
    x_title: str,
    y_title: str,
    *,
    share: bool = True,
    log: bool = True,
    least: float = 0.0,
    rate: bool = False,
) -> Layered:
    """Lines with points, and bands where there are intervals.

    Args:
        frame: columns x, series, value, and where known low, high, n.
        x_title, y_title: of the axes.
        share: whether x is a share of all neurons, else a number of them.
        log: whether the x axis is logarithmic.
        least: what the y axis spans at least, in its unit, so that noise is not drawn as a slope.
        rate: whether y is a share from 0 to 1, shown in percent.
    """
    series = list(dict.fromkeys(frame["series"]))
    frame = frame.assign(**{c: frame[c] if c in frame else float("nan") for c in ("low", "high", "n")})
    axis = alt.Axis(
        values=sorted(frame["x"].unique().tolist()),
        labelExpr=PERCENT_AXIS if share else "format(datum.value, ',')",
        labelOverlap="greedy",
        grid=False,
    )
    x = alt.X("x:Q", title=x_title, axis=axis, scale=alt.Scale(type="log" if log else "linear", nice=False))
    base = alt.Chart(frame).encode(
        x=x,
        color=series_colour(series),
        tooltip=[
            alt.Tooltip("series:N", title="Series"),
            alt.Tooltip("x:Q", title=x_title, format=".2~%" if share else ","),
            alt.Tooltip("value:Q", title=y_title, format=".1%" if rate else ".3f"),
            alt.Tooltip("low:Q", title="95 % interval from", format=".1%" if rate else ".3f"),
            alt.Tooltip("high:Q", title="to", format=".1%" if rate else ".3f"),
            alt.Tooltip("n:Q", title="n", format=","),
        ],
    )
    y_axis = alt.Axis(labelExpr=PERCENT_AXIS) if rate else alt.Axis()
    y = alt.Y("value:Q", title=y_title, scale=_at_least(frame, least), axis=y_axis)
    layers: list[alt.Chart] = []
    if frame["low"].notna().any():
        layers.append(base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title=y_title, axis=y_axis), y2="high:Q"))
    layers += [base.mark_line(strokeWidth=2.5).encode(y=y), base.mark_point(filled=True, size=55).encode(y=y)]
    return alt.layer(*layers).properties(height=340 + legend_height(series))


def _at_least(frame: pd.DataFrame, least: float) -> alt.Scale:
    """A scale over values and intervals that spans `least` or more; as narrow as they are for 0."""
    known = frame[["value", "low", "high"]].to_numpy(dtype=float)
    known = known[~np.isnan(known)]
    if not least or not known.size or np.ptp(known) >= least:
        return alt.Scale(zero=False)
    middle = float(known.max() + known.min()) / 2
    low, high = middle - least / 2, middle + least / 2
    shift = min(0.0, 1 - high) if known.max() <= 1 else 0.0  # a share is never drawn above 1
    return alt.Scale(domain=[low + shift, high + shift], nice=False, zero=False)


def scatter_chart(frame: pd.DataFrame, x_title: str, y_title: str, *, log: bool) -> alt.Chart:
    """Neurons by two numbers.

    Args:
        frame: columns neuron, x, y, series.
        x_title, y_title: of the axes.
        log: whether both axes are logarithmic (ranks).
    """
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale()
    series = list(dict.fromkeys(frame["series"]))
    return (
        alt.Chart(frame)
        .mark_point(filled=True, size=18, opacity=0.45)
        .encode(
            x=alt.X("x:Q", title=x_title, scale=scale),
            y=alt.Y("y:Q", title=y_title, scale=scale),
            color=series_colour(series),
            tooltip=[
                alt.Tooltip("neuron:N", title="Neuron"),
                alt.Tooltip("x:Q", title=x_title, format=".4~g"),
                alt.Tooltip("y:Q", title=y_title, format=".4~g"),
            ],
        )
        .properties(height=380)
    )


def series_colour(series: list[str]) -> alt.Color:
    """A colour for each series, with a legend on top: models and random neurons have their own, the rest in turn."""
    own = [_own_colour(name) for name in series]
    own = [colour if own.count(colour) == 1 else "" for colour in own]
    others = [colour for colour in SERIES_COLOURS if colour not in own]
    turn = iter(others[i % len(others)] for i in range(len(series)))
    colours = [colour or next(turn) for colour in own]
    return alt.Color(
        "series:N",
        scale=alt.Scale(domain=series, range=colours),
        legend=top_legend(series, symbolType="circle"),
    )


def _own_colour(name: str) -> str:
    """The colour that a model, or random neurons, has on every page; "" for any other series."""
    if name.lower().startswith(("random neurons", "m1 with random neurons")):
        return palette.RANDOM
    return {"M1": palette.UNPATCHED, "M2": palette.ALIGNED}.get(name.removesuffix(", nothing patched"), "")


def _domain(values: pd.Series) -> tuple[float, float]:
    known = values.dropna()
    if known.empty:
        return 0.0, 1.0
    low, high = min(0.0, float(known.min())), float(known.max())
    return low, high if high > low else low + 1.0
