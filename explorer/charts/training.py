"""How a training went: loss, DPO's margin and accuracy against the step."""

import altair as alt
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.labels import PERCENT_AXIS

TITLES = {
    "loss": "Loss (nats)",
    "margin": "Margin of the rewards (nats × β)",
    "accuracy": "Implicit-reward accuracy (%)",
    "kept": "Divergence from M1 on plain text (nats a token)",
}
"""The measures of a training, and what their axes say."""


def curve_chart(curve: pd.DataFrame, measure: str) -> Layered:
    """One measure against the step, a line for each stage.

    Args:
        curve: of `TrainingRecord.curve`, with the measure in at least one row.
        measure: one of `TITLES`.
    """
    rows = curve.dropna(subset=[measure])
    share = measure == "accuracy"
    axis = alt.Axis(labelExpr=PERCENT_AXIS) if share else alt.Axis()
    base = alt.Chart(rows).encode(
        x=alt.X("step:Q", title="Training step", axis=alt.Axis(grid=False)),
        y=alt.Y(f"{measure}:Q", title=TITLES[measure], axis=axis, scale=alt.Scale(zero=False)),
        detail="stage:N",
        tooltip=[
            alt.Tooltip("step:Q", title="Step"),
            alt.Tooltip("stage:N", title="Stage"),
            alt.Tooltip("method:N", title="Method"),
            alt.Tooltip(f"{measure}:Q", title=TITLES[measure].split(" (")[0], format=".1%" if share else ".3f"),
        ],
    )
    line = base.mark_line(color=palette.PATCHED, strokeWidth=2)
    points = base.mark_point(color=palette.PATCHED, filled=True, size=30, opacity=1)
    return alt.layer(line, points).properties(height=240)
