"""By which paths a patch acts: flows from the patched neurons to the margin, heads by layer, where a head looks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.labels import signed
from explorer.charts.matrix import CELL

if TYPE_CHECKING:
    import plotly.graph_objects as go

_AGAINST, _WITH = palette.UNPATCHED, palette.PATCHED
_DIVERGING = ["#A34700", "#D55E00", "#EFB48A", "#F3EFFC", "#B29BE7", "#7B4FD0", "#3C1C7A"]
"""From what keeping a head adds to what it takes away; told apart with any colour vision, light and dark."""

_TEXT, _TEXT_ON_DARK = "#1B1B2B", "#F5F5FA"
"""Of the nodes' names, which stand on the flows."""

_NODES = ("Patched neurons", "Attention", "Patterns (QK)", "Values (OV)", "MLPs", "Direct", "Refusal margin")
_FLOWS = (
    (0, 5, "direct"),
    (0, 1, "attention"),
    (0, 4, "mlps"),
    (1, 2, "patterns"),
    (1, 3, "values"),
    (2, 6, "patterns"),
    (3, 6, "values"),
    (4, 6, "mlps"),
    (5, 6, "direct"),
)
"""From which node to which each part flows."""


def flow_figure(parts: Mapping[str, float], dark: bool = False) -> "go.Figure":
    """A Sankey diagram of a set's parts: as wide as their size, orange where a part works against the whole.

    Args:
        parts: direct, patterns, values, mlps and attention, in logits; and whole.
        dark: whether it stands on a dark page.
    """
    import plotly.graph_objects as go

    turn = -1 if parts["whole"] < 0 else 1
    known = [(start, end, turn * parts[name]) for start, end, name in _FLOWS]
    labels = [f"{signed(value, 2)} logits" for value in (turn * v for _, _, v in known)]
    flows = go.Sankey(
        arrangement="snap",
        textfont={"color": _TEXT_ON_DARK if dark else _TEXT, "shadow": "none"},
        node={
            "label": list(_NODES),
            "color": [palette.ALIGNED, *[palette.RANDOM] * 5, palette.PATCHED],
            "pad": 26,
            "thickness": 16,
            "hovertemplate": "%{label}<extra></extra>",
        },
        link={
            "source": [start for start, _, _ in known],
            "target": [end for _, end, _ in known],
            "value": [abs(value) for _, _, value in known],
            "color": [_faint(_WITH if value >= 0 else _AGAINST) for _, _, value in known],
            "customdata": labels,
            "hovertemplate": "%{source.label} → %{target.label}: %{customdata}<extra></extra>",
        },
    )
    figure = go.Figure(flows)
    figure.update_layout(
        height=320,
        margin={"l": 10, "r": 10, "t": 16, "b": 16},
        font={"size": 14, "color": _TEXT_ON_DARK if dark else _TEXT},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def heads_chart(table: pd.DataFrame, chosen: tuple[int, int]) -> Layered:
    """A clickable layer × head heatmap of what is lost without each head (selection `CELL`: layer, head).

    Args:
        table: rows of the table `paths_heads`, of one set.
        chosen: the layer and head that are framed.
    """
    reach = float(table["lost"].abs().max()) or 1.0
    cell = alt.selection_point(name=CELL, fields=["layer", "head"], empty=False)
    x = alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0))
    y = alt.Y("head:O", title="Head")
    colour = alt.Color(
        "lost:Q",
        scale=alt.Scale(domain=[-reach, reach], range=_DIVERGING, clamp=True),
        legend=alt.Legend(title="Margin lost (logits)", orient="top", gradientLength=220, format="+.2f"),
    )
    tooltip = [
        alt.Tooltip("layer:O", title="Layer"),
        alt.Tooltip("head:O", title="Head"),
        alt.Tooltip("lost:Q", title="Margin lost (logits)", format="+.3f"),
        alt.Tooltip("lost_low:Q", title="95 % interval from", format="+.3f"),
        alt.Tooltip("lost_high:Q", title="to", format="+.3f"),
        alt.Tooltip("n:Q", title="Prompts (n)"),
    ]
    base = alt.Chart(table).encode(x=x, y=y, tooltip=tooltip)
    framed = table[(table["layer"] == chosen[0]) & (table["head"] == chosen[1])]
    return alt.layer(
        base.mark_rect(cursor="pointer").encode(color=colour).add_params(cell),
        alt.Chart(framed)
        .mark_rect(filled=False, stroke=palette.UNPATCHED, strokeWidth=3, aria=False)
        .encode(x=x, y=y, tooltip=tooltip),
    ).properties(height=110 + 24 * table["head"].nunique())


def attention_chart(frame: pd.DataFrame) -> alt.Chart:
    """Where one head looks from a prompt's last token: a row a model, a cell a token.

    Args:
        frame: columns column (in words), position, token, weight.
    """
    order = list(dict.fromkeys(frame["column"]))
    frame = frame.assign(word=[f"{p} {t}" for p, t in zip(frame["position"], frame["token"], strict=True)])
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X(
                "word:N",
                title=None,
                sort=list(dict.fromkeys(frame["word"])),
                axis=alt.Axis(labelAngle=-60, labelExpr="slice(datum.label, indexof(datum.label, ' ') + 1)"),
            ),
            y=alt.Y("column:N", title=None, sort=order, axis=alt.Axis(ticks=False, domain=False)),
            color=alt.Color(
                "weight:Q",
                scale=alt.Scale(domainMin=0, range=palette.RAMP),
                legend=alt.Legend(title="Attention weight", orient="top", gradientLength=160, format=".0%"),
            ),
            tooltip=[
                alt.Tooltip("column:N", title="Model"),
                alt.Tooltip("position:Q", title="Position"),
                alt.Tooltip("token:N", title="Token"),
                alt.Tooltip("weight:Q", title="Attention weight", format=".1%"),
            ],
        )
        .properties(height=150 + 30 * len(order))
    )


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.45)"
