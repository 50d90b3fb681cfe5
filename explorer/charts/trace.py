"""A trace over the tokens of an answer: margins and KL as lines, with the places where the answers part."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.legends import top_legend

PLACE = "place"
"""The selection: a click on a token gives its place, from 0."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        column: of the frame, its values.
        name: in the legend.
        colour: of the line.
    """

    column: str
    name: str
    colour: str


@dataclass(frozen=True)
class Hover:
    """What is said of a token: a column of the frame, its title, and a number format of d3 ("" for words)."""

    column: str
    title: str
    form: str = ""


def trace_chart(
    frame: pd.DataFrame, lines: Sequence[Line], title: str, hover: Sequence[Hover], parts: pd.DataFrame, chosen: int
) -> Layered:
    """Lines over the tokens of an answer; a token can be clicked (selection `PLACE`).

    Args:
        frame: a row for each token: place (from 0), number, token, and the columns of `lines` and `hover`.
        lines: what is drawn.
        title: of the value axis.
        hover: what is said of a token.
        parts: where answers part: columns place and label.
        chosen: the place that is marked as chosen.
    """
    places = frame["place"].tolist()
    words = alt.Axis(
        labelExpr=_lookup(frame), labelAngle=-90, labelOverlap=len(frame) > 160, labelLimit=90, labelFontSize=10
    )
    x = alt.X("place:O", title=None, axis=words, scale=alt.Scale(domain=places))
    whole = {"y": alt.YValue(0), "y2": alt.Y2Value("height")}
    long = pd.concat(
        [frame[["place"]].assign(line=line.name, value=frame[line.column]) for line in lines], ignore_index=True
    )
    colour = alt.Color(
        "line:N",
        scale=alt.Scale(domain=[line.name for line in lines], range=[line.colour for line in lines]),
        legend=top_legend([line.name for line in lines], symbolType="circle"),
    )
    drawn = alt.Chart(long).encode(
        x=x, y=alt.Y("value:Q", title=title, axis=alt.Axis(minExtent=44, maxExtent=44)), color=colour
    )
    tooltip = [
        alt.Tooltip("token:N", title="Token"),
        alt.Tooltip("number:Q", title="Number"),
        *(
            alt.Tooltip(f"{one.column}:Q", title=one.title, format=one.form)
            if one.form
            else alt.Tooltip(f"{one.column}:N", title=one.title)
            for one in hover
        ),
    ]
    part = alt.Chart(parts).encode(x=x)
    click = alt.selection_point(name=PLACE, fields=["place"], empty=False)
    layers = [
        alt.Chart(frame[frame["place"] == chosen]).mark_rect(color=palette.RANDOM, opacity=0.22).encode(x=x, **whole),
        part.mark_rule(color=palette.RANDOM, strokeDash=[4, 3], strokeWidth=1.5).encode(**whole),
        drawn.mark_line(strokeWidth=1.8, opacity=0.85),
        drawn.mark_point(filled=True, size=26, opacity=1),
        part.mark_text(align="left", baseline="top", dx=5, dy=2, fontSize=11, color=palette.RANDOM).encode(
            y=alt.YValue(0), text="label:N"
        ),
        # On top, so that a click and the pointer find the token and not a line.
        alt.Chart(frame).mark_rect(opacity=0, cursor="pointer").encode(x=x, tooltip=tooltip, **whole).add_params(click),
    ]
    return alt.layer(*layers).properties(height=290)


def _lookup(frame: pd.DataFrame) -> str:
    """A Vega expression that turns a place into its token; JSON keeps any token a mere string in it."""
    return f"({json.dumps(dict(zip(frame['place'].astype(str), frame['token'], strict=True)))})[datum.label]"
