"""How alike rankings are: all pairs, by size of the top set, size by size, and by layer."""

from dataclasses import dataclass

import altair as alt
import pandas as pd

from explorer.charts import Layered, either, palette
from explorer.charts.by_layer import coloured_bars, layer_axis
from explorer.charts.labels import PERCENT_AXIS, percent
from explorer.charts.legends import top_legend

CELL = "cell"
"""The selection of the matrix: a click gives the fields a and b."""

PARTS = {
    "only_a": ("only A", "#0072B2"),
    "both": ("both", palette.PATCHED),
    "only_b": ("only B", "#E69F00"),
}


@dataclass(frozen=True)
class Likeness:
    """A column of the matrix that can colour its cells."""

    column: str
    label: str
    form: str
    domain: tuple[float, float] | None


LIKENESSES = {
    m.column: m
    for m in (
        Likeness("overlap", "Overlap", ".0%", (0.0, 1.0)),
        Likeness("spearman", "Spearman ρ", ".2f", (0.0, 1.0)),
        Likeness("ratio", "Enrichment over chance", ".1f", None),
    )
}


def matrix_chart(pairs: pd.DataFrame, likeness: Likeness, chosen: tuple[str, str]) -> Layered:
    """All rankings against all; a click on a cell selects its pair (selection `CELL`).

    Args:
        pairs: columns a, b (names), a_label, b_label, k, shared, overlap, chance, ratio, spearman.
        likeness: what colours the cells and stands in them.
        chosen: the pair that is framed.
    """
    order = list(dict.fromkeys(pairs["a_label"]))
    low, high = likeness.domain or (0.0, float(pairs[likeness.column].max()))
    framed = pairs[(pairs["a"] == chosen[0]) & (pairs["b"] == chosen[1])]
    cell = alt.selection_point(name=CELL, fields=["a", "b"], empty=False)
    x = alt.X(
        "b_label:N", title="Ranking B", sort=order, axis=alt.Axis(labelAngle=-30, labelLimit=200, orient="bottom")
    )
    y = alt.Y("a_label:N", title="Ranking A", sort=order, axis=alt.Axis(labelLimit=200))
    colour = alt.Color(
        f"{likeness.column}:Q",
        title=likeness.label,
        scale=alt.Scale(domain=[low, high], range=palette.RAMP, clamp=True),
        legend=None,
    )
    tooltip = [
        alt.Tooltip("a_label:N", title="A"),
        alt.Tooltip("b_label:N", title="B"),
        alt.Tooltip("shared:Q", title="Neurons in both", format=","),
        alt.Tooltip("k:Q", title="of each top set's", format=","),
        alt.Tooltip("overlap:Q", title="Overlap", format=".1%"),
        alt.Tooltip("chance:Q", title="Chance", format=".2%"),
        alt.Tooltip("ratio:Q", title="Enrichment over chance", format=".1f"),
        alt.Tooltip("spearman:Q", title="Spearman ρ of the shared", format=".3f"),
    ]
    middle = low + (high - low) * 0.45
    dark = f"datum['{likeness.column}'] > {middle}"
    return alt.layer(
        alt.Chart(pairs).mark_rect(cursor="pointer").encode(x=x, y=y, color=colour, tooltip=tooltip).add_params(cell),
        alt.Chart(pairs)
        .mark_text(fontSize=13, fontWeight=600)
        .encode(
            x=x,
            y=y,
            text=alt.Text(f"{likeness.column}:Q", format=likeness.form),
            color=either(dark, palette.TEXT_ON_DARK, palette.TEXT_ON_LIGHT),
            tooltip=tooltip,
        ),
        alt.Chart(framed)
        .mark_rect(filled=False, stroke=palette.UNPATCHED, strokeWidth=3, aria=False)
        .encode(x=x, y=y, tooltip=tooltip),
    ).properties(height=150 + 40 * len(order))


def by_size_chart(frame: pd.DataFrame) -> Layered:
    """Overlap, chance and ρ against the size of the top sets.

    Args:
        frame: of `explorer.neurons.overlap.overlap_by_k`.
    """
    names = {"overlap": "Overlap", "spearman": "Spearman ρ of the shared", "chance": "Chance"}
    tidy = frame.melt(["fraction", "k", "shared"], list(names), var_name="what", value_name="value").dropna()
    tidy = tidy.assign(what=tidy["what"].map(names))
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=list(names.values()), range=[palette.PATCHED, "#0072B2", palette.RANDOM]),
        legend=top_legend(list(names.values()), symbolType="stroke", symbolStrokeWidth=3),
    )
    dash = alt.StrokeDash("what:N", scale=alt.Scale(domain=list(names.values()), range=[[1, 0], [1, 0], [6, 4]]))
    base = alt.Chart(tidy).encode(
        x=alt.X(
            "fraction:Q",
            title="Size of both top sets (% of all neurons)",
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(
                values=sorted(frame["fraction"].unique()), labelExpr=PERCENT_AXIS, labelOverlap="greedy", grid=False
            ),
        ),
        y=alt.Y("value:Q", title="Overlap (share of k), ρ (−1 to 1)", scale=alt.Scale(domain=_bounds(tidy["value"]))),
        color=colour,
        tooltip=[
            alt.Tooltip("what:N", title="Measure"),
            alt.Tooltip("value:Q", title="Value", format=".3f"),
            alt.Tooltip("fraction:Q", title="Top set", format=".2~%"),
            alt.Tooltip("k:Q", title="k", format=","),
            alt.Tooltip("shared:Q", title="Neurons in both", format=","),
        ],
    )
    return alt.layer(
        base.mark_line(strokeWidth=2.5).encode(strokeDash=dash), base.mark_point(filled=True, size=55, opacity=1)
    ).properties(height=340)


def grid_chart(grid: pd.DataFrame, a_label: str, b_label: str) -> Layered:
    """Every top set of A against every top set of B, coloured by overlap.

    Args:
        grid: of `explorer.neurons.overlap.overlap_grid`.
        a_label, b_label: the rankings' names.
    """
    frame = grid.assign(a=grid["fraction_a"].map(percent), b=grid["fraction_b"].map(percent))
    order = list(dict.fromkeys(frame["a"]))
    x = alt.X("b:O", title=f"Top of B: {b_label}", sort=order, axis=alt.Axis(labelAngle=0))
    y = alt.Y("a:O", title=f"Top of A: {a_label}", sort=order[::-1])
    tooltip = [
        alt.Tooltip("a:N", title="Top of A"),
        alt.Tooltip("b:N", title="Top of B"),
        alt.Tooltip("shared:Q", title="Neurons in both", format=","),
        alt.Tooltip("k_a:Q", title="Neurons in A's top", format=","),
        alt.Tooltip("k_b:Q", title="Neurons in B's top", format=","),
        alt.Tooltip("overlap:Q", title="Overlap (share of the smaller)", format=".1%"),
        alt.Tooltip("chance:Q", title="Chance", format=".2%"),
    ]
    base = alt.Chart(frame).encode(x=x, y=y, tooltip=tooltip)
    colour = alt.Color("overlap:Q", scale=alt.Scale(domain=[0, 1], range=palette.RAMP), legend=None)
    on = either("datum.overlap > 0.45", palette.TEXT_ON_DARK, palette.TEXT_ON_LIGHT)
    return alt.layer(
        base.mark_rect().encode(color=colour),
        base.mark_text(fontSize=12).encode(text=alt.Text("overlap:Q", format=".0%"), color=on),
    ).properties(height=80 + 36 * len(order))


def parts_chart(layers: pd.DataFrame) -> alt.Chart:
    """How many neurons of each layer stand only in A's top, only in B's, or in both.

    Args:
        layers: of `explorer.neurons.overlap.overlap_by_layer`.
    """
    names = {column: name for column, (name, _) in PARTS.items()}
    tidy = layers.melt(["layer", "jaccard"], list(PARTS), var_name="part", value_name="neurons")
    tidy = tidy.assign(part=tidy["part"].map(names), place=tidy["part"].map({c: i for i, c in enumerate(PARTS)}))
    tooltip = {
        "layer": ("Layer", ""),
        "part": ("In the top of", ""),
        "neurons": ("Neurons", ","),
        "jaccard": ("Both / either in this layer", ".1%"),
    }
    colours = dict(PARTS.values())
    return coloured_bars(tidy, "part", colours, "Neurons in a top set", tooltip, 320, order=alt.Order("place:Q"))


def layer_grid_chart(grid: pd.DataFrame) -> alt.Chart:
    """How alike the top sets are within each layer, for each size.

    Args:
        grid: columns fraction, layer, both, in_a, in_b, jaccard (of `overlap_by_layer` for several fractions).
    """
    frame = grid.assign(set="top " + grid["fraction"].map(percent))
    order = list(dict.fromkeys(frame["set"]))
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=layer_axis(),
            y=alt.Y("set:O", title="Top set", sort=order),
            color=alt.Color(
                "jaccard:Q",
                title="Both / either",
                scale=alt.Scale(domain=[0, 1]),
                legend=alt.Legend(labelExpr=PERCENT_AXIS, gradientLength=160, tickCount=4),
            ),
            tooltip=[
                alt.Tooltip("layer:O", title="Layer"),
                alt.Tooltip("set:N", title="Top set"),
                alt.Tooltip("both:Q", title="In both", format=","),
                alt.Tooltip("in_a:Q", title="In A's top", format=","),
                alt.Tooltip("in_b:Q", title="In B's top", format=","),
                alt.Tooltip("jaccard:Q", title="Both / either", format=".1%"),
            ],
        )
        .properties(height=44 + 30 * len(order))
    )


def _bounds(values: pd.Series) -> list[float]:
    return [min(0.0, float(values.min())), 1.0]
