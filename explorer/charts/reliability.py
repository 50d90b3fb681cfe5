"""How far scores agree with people: predicted probabilities against what people say."""

import altair as alt
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.labels import PERCENT_AXIS
from explorer.charts.matrix import series_colour

_SHARES = alt.Scale(domain=[0, 1])


def reliability_chart(frame: pd.DataFrame) -> Layered:
    """Observed shares with their intervals against the predicted probability; on the diagonal both agree.

    Args:
        frame: columns series, predicted, observed, low, high (shares, 0 to 1), n; a row for each bin.
    """
    series = list(dict.fromkeys(frame["series"]))
    observed = "Share labelled harmful"
    axis = alt.Axis(labelExpr=PERCENT_AXIS)
    x = alt.X("predicted:Q", title="Predicted probability of harm", scale=_SHARES, axis=axis)
    y = alt.Y("observed:Q", title=observed, scale=_SHARES, axis=axis)
    base = alt.Chart(frame).encode(
        x=x,
        color=series_colour(series),
        tooltip=[
            alt.Tooltip("series:N", title="Labelled texts"),
            alt.Tooltip("predicted:Q", title="Predicted", format=".1%"),
            alt.Tooltip("observed:Q", title="Observed", format=".1%"),
            alt.Tooltip("low:Q", title="95 % interval from", format=".1%"),
            alt.Tooltip("high:Q", title="to", format=".1%"),
            alt.Tooltip("n:Q", title="n", format=","),
        ],
    )
    diagonal = alt.Chart(pd.DataFrame({"predicted": [0.0, 1.0], "observed": [0.0, 1.0]}))
    return alt.layer(
        diagonal.mark_line(color=palette.RANDOM, strokeDash=[4, 4]).encode(x=x, y=y),
        base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(y=alt.Y("low:Q", title=observed), y2="high:Q"),
        base.mark_line(strokeWidth=1.5, opacity=0.55).encode(y=y),
        base.mark_point(filled=True, size=90, opacity=1).encode(y=y),
    ).properties(height=380)
