"""How change scores are distributed, over all neurons and over the layers."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.by_layer import layer_axis
from explorer.charts.labels import PERCENT_AXIS, percent
from explorer.neurons.ranking import Ranking, count_of

SCORE = "Change score (RMS difference, activation units)"
BINS = 60
COLUMNS = 192
"""Columns of the map at most; each stands for equally many neighbouring neurons."""


def score_histogram(scores: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Counts of positive scores in bins of equal ratio: columns low, high, count.

    Args:
        scores: float [...], any shape; scores of 0 have no place on a log axis and are left out.
    """
    positive = scores[scores > 0]
    if not positive.size:
        return pd.DataFrame({"low": [], "high": [], "count": []})
    low, high = float(positive.min()), float(positive.max())
    edges = np.geomspace(low, max(high, low * 1.01), bins + 1)
    edges[0], edges[-1] = low, max(high, edges[-1])
    counts, _ = np.histogram(positive, edges)
    frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})
    return frame[frame["count"] > 0].reset_index(drop=True)


def score_thresholds(changes: Ranking, fractions: Sequence[float] = (0.01, 0.05, 0.1)) -> pd.DataFrame:
    """The lowest score in the top of each fraction: columns fraction, k, score, label."""
    flat, rows = changes.scores.reshape(-1), []
    for fraction in fractions:
        k = min(count_of(fraction, flat.size), len(changes.order))
        if k:
            score = float(flat[changes.order[k - 1]])
            rows.append({"fraction": fraction, "k": k, "score": score, "label": f"top {percent(fraction)}"})
    frame = pd.DataFrame(rows, columns=["fraction", "k", "score", "label"])
    return frame[frame["score"] > 0].reset_index(drop=True)


def histogram_chart(histogram: pd.DataFrame, marks: pd.DataFrame, height: int = 340, title: str = SCORE) -> Layered:
    """Counts against score, both on log axes, with labelled rules.

    Args:
        histogram: of `score_histogram`, not empty.
        marks: columns score and label, and k for the tooltip: where rules stand.
        height: of the chart, in pixels.
        title: of the score's axis.
    """
    low, high = float(histogram["low"].min()), float(histogram["high"].max())
    top = float(histogram["count"].max())
    x = alt.X("low:Q", title=title, scale=alt.Scale(type="log", domain=[low, high], nice=False))
    y = alt.Y("count:Q", title="Neurons (log scale)", scale=alt.Scale(type="log", domain=[0.7, top * 2.5], nice=False))
    bars = (
        alt.Chart(histogram.assign(floor=0.7))
        .mark_rect(color=palette.PATCHED, opacity=0.75)
        .encode(
            x=x.axis(alt.Axis(format="~g", values=_powers(low, high), grid=False)),
            x2="high:Q",
            y=y.axis(alt.Axis(format="~s", values=_powers(0.7, top * 2.5))),
            y2="floor:Q",
            tooltip=[
                alt.Tooltip("low:Q", title="Score from", format=".4g"),
                alt.Tooltip("high:Q", title="to", format=".4g"),
                alt.Tooltip("count:Q", title="Neurons", format=","),
            ],
        )
    )
    rules = alt.Chart(marks).encode(
        x=alt.X("score:Q", title=title),
        tooltip=[
            alt.Tooltip("label:N", title="Mark"),
            alt.Tooltip("score:Q", title="Score", format=".4g"),
            alt.Tooltip("k:Q", title="Neurons at or above", format=","),
        ],
    )
    texts = [
        _mark_label(marks.iloc[[i]], title, line=i, left=bool(marks["score"].iloc[i] > low * (high / low) ** 0.8))
        for i in range(len(marks))
    ]
    return alt.layer(
        bars, rules.mark_rule(color=palette.UNPATCHED, strokeWidth=2, strokeDash=[5, 3]), *texts
    ).properties(height=height)


def _mark_label(mark: pd.DataFrame, title: str, line: int, left: bool) -> alt.Chart:
    """The label of one rule, to its left where there is no room to its right, each on a line of its own."""
    text = alt.Chart(mark).mark_text(
        align="right" if left else "left",
        dx=-4 if left else 4,
        dy=2 + 14 * line,
        baseline="top",
        color=palette.UNPATCHED,
        fontWeight=600,
    )
    return text.encode(x=alt.X("score:Q", title=title), y=alt.YValue(0), text="label:N")


def _powers(low: float, high: float) -> list[float]:
    """The powers of ten from `low` to `high`."""
    return [10.0**e for e in range(int(np.ceil(np.log10(low))), int(np.floor(np.log10(high))) + 1)]


def layer_heatmap(shares: pd.DataFrame, n_layers: int) -> alt.Chart:
    """Where the top of each size lies.

    Args:
        shares: of `explorer.neurons.overlap.layer_share`: columns fraction, layer, neurons, share.
        n_layers: for the even share that a tooltip compares with.
    """
    frame = shares.assign(set="top " + shares["fraction"].map(percent), ratio=shares["share"] * n_layers)
    order = list(dict.fromkeys(frame["set"]))
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=layer_axis(),
            y=alt.Y("set:O", title="Top set", sort=order),
            color=alt.Color("share:Q", title="Share of the top set", legend=_percent_legend()),
            tooltip=[
                alt.Tooltip("layer:O", title="Layer"),
                alt.Tooltip("set:N", title="Top set"),
                alt.Tooltip("neurons:Q", title="Neurons of it in this layer", format=","),
                alt.Tooltip("share:Q", title="Share of the top set", format=".1%"),
                alt.Tooltip("ratio:Q", title="Times an even spread", format=".2f"),
            ],
        )
        .properties(height=44 + 30 * len(order))
    )


def layer_bars(shares: pd.DataFrame, fraction: float) -> Layered:
    """Neurons of one top set in each layer, with the even spread as a rule.

    Args:
        shares: of `explorer.neurons.overlap.layer_share`.
        fraction: one of its fractions.
    """
    frame = shares[np.isclose(shares["fraction"], fraction)]
    even = pd.DataFrame({"even": [float(frame["neurons"].mean())]})
    bars = (
        alt.Chart(frame)
        .mark_bar(color=palette.PATCHED)
        .encode(
            x=layer_axis(),
            y=alt.Y("neurons:Q", title=f"Neurons of the top {percent(fraction)}"),
            tooltip=[
                alt.Tooltip("layer:O", title="Layer"),
                alt.Tooltip("neurons:Q", title="Neurons", format=","),
                alt.Tooltip("share:Q", title="Share of the top set", format=".1%"),
            ],
        )
    )
    rule = (
        alt.Chart(even)
        .mark_rule(color=palette.RANDOM, strokeDash=[6, 4], strokeWidth=2)
        .encode(y="even:Q", tooltip=[alt.Tooltip("even:Q", title="Even spread, neurons a layer", format=",.1f")])
    )
    return alt.layer(bars, rule).properties(height=260)


def blocks_of(values: np.ndarray, columns: int, fill: float) -> np.ndarray:
    """Neighbouring neurons of each layer together: [layers, cells, width] of values [layers, neurons].

    Args:
        values: of every neuron.
        columns: cells of a layer, at most.
        fill: what stands behind the last neuron.
    """
    layers, neurons = values.shape
    width = -(-neurons // columns)
    count = -(-neurons // width)
    padded = np.full((layers, count * width), fill, dtype=values.dtype)
    padded[:, :neurons] = values
    return padded.reshape(layers, count, width)


def score_map(changes: Ranking, columns: int = COLUMNS) -> pd.DataFrame:
    """The highest score among neighbouring neurons: columns layer, first, last, score, neuron (its index)."""
    layers, neurons = changes.scores.shape
    blocks = blocks_of(changes.scores, columns, -np.inf)
    width = blocks.shape[2]
    starts = np.arange(0, neurons, width)
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(layers), len(starts)),
            "first": np.tile(starts, layers),
            "last": np.tile(np.minimum(starts + width, neurons) - 1, layers),
            "score": blocks.max(axis=2).reshape(-1),
            "neuron": (blocks.argmax(axis=2) + starts).reshape(-1),
        }
    )


def map_chart(cells: pd.DataFrame) -> alt.Chart:
    """Layer against index, coloured by the highest score of each cell.

    Args:
        cells: of `score_map`.
    """
    frame = cells.assign(end=cells["last"] + 1)
    layers = int(frame["layer"].max()) + 1
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X(
                "first:Q", title="Index in the layer", scale=alt.Scale(nice=False, domain=[0, int(frame["end"].max())])
            ),
            x2="end:Q",
            y=alt.Y("layer:O", title="Layer", sort="descending", axis=alt.Axis(labelOverlap=True)),
            color=alt.Color(
                "score:Q", title="Highest score", scale=alt.Scale(type="sqrt"), legend=alt.Legend(gradientLength=180)
            ),
            tooltip=[
                alt.Tooltip("layer:O", title="Layer"),
                alt.Tooltip("first:Q", title="Neurons from", format=","),
                alt.Tooltip("last:Q", title="to", format=","),
                alt.Tooltip("score:Q", title="Highest score", format=".4g"),
                alt.Tooltip("neuron:Q", title="of neuron"),
            ],
        )
        .properties(height=max(220, min(560, 14 * layers + 40)))
    )


def _percent_legend() -> alt.Legend:
    return alt.Legend(labelExpr=PERCENT_AXIS, gradientLength=160, tickCount=4)
