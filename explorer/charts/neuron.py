"""One neuron: its mean in both models, and what it does over the words of a text."""

import json

import altair as alt
import pandas as pd

from explorer.charts import Layered, either, palette

MODELS = {"M1": palette.UNPATCHED, "M2": palette.ALIGNED}
ACTIVATION = "Activation"
_HEIGHT = 220
_WORD_TOOLTIP = [
    alt.Tooltip("shown:N", title="Token"),
    alt.Tooltip("position:O", title="Position"),
    alt.Tooltip("part:N", title="Part"),
    alt.Tooltip("m1:Q", title="M1", format=".3f"),
    alt.Tooltip("m2:Q", title="M2", format=".3f"),
    alt.Tooltip("difference:Q", title="M2 − M1", format="+.3f"),
]


def means_chart(means: pd.DataFrame) -> Layered:
    """Mean activation with one standard deviation to either side.

    Args:
        means: columns model ("M1", "M2"), mean, low, high.
    """
    base = alt.Chart(means).encode(
        y=alt.Y("model:N", title=None, axis=alt.Axis(ticks=False, domain=False)),
        color=_colour(legend=False),
        tooltip=[
            alt.Tooltip("model:N", title="Model"),
            alt.Tooltip("mean:Q", title="Mean activation", format=".4g"),
            alt.Tooltip("low:Q", title="Mean − standard deviation", format=".4g"),
            alt.Tooltip("high:Q", title="Mean + standard deviation", format=".4g"),
        ],
    )
    title = "Mean activation ± standard deviation"
    return alt.layer(
        base.mark_rule(strokeWidth=3, opacity=0.5).encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_point(filled=True, size=110, opacity=1).encode(x=alt.X("mean:Q", title=title)),
    ).properties(height=130)


def words_chart(words: pd.DataFrame) -> Layered:
    """Both models' activations over the tokens of a text; M1's answer is shaded.

    Args:
        words: columns position, token, part, m1, m2.
    """
    frame = _described(words)
    both = pd.concat(
        [frame.assign(model=model, activation=frame[column]) for model, column in (("M1", "m1"), ("M2", "m2"))],
        ignore_index=True,
    )
    x = alt.X("position:O", title=None, axis=alt.Axis(labels=False, ticks=False, domain=False))
    lines = alt.Chart(both).encode(
        x=x,
        y=alt.Y("activation:Q", title=ACTIVATION, axis=_y_axis()),
        color=_colour(legend=True),
        tooltip=[alt.Tooltip("model:N", title="Model"), *_WORD_TOOLTIP],
    )
    shade = alt.Chart(frame[frame["part"] == "answer"]).mark_rect(color=palette.RANDOM, opacity=0.12)
    return alt.layer(
        shade.encode(x=x, y=alt.YValue(0), y2=alt.Y2Value("height")),
        lines.mark_line(strokeWidth=1.5, opacity=0.8),
        lines.mark_point(filled=True, size=28, opacity=1),
    ).properties(height=_HEIGHT)


def difference_chart(words: pd.DataFrame) -> alt.Chart:
    """How much higher a neuron is in M2 than in M1 at every token, with the tokens below.

    Args:
        words: columns position, token, part, m1, m2.
    """
    frame = _described(words)
    names = alt.Axis(
        labelExpr=_lookup(frame), labelAngle=-90, labelOverlap=len(frame) > 160, labelLimit=90, labelFontSize=10
    )
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("position:O", title="Token (the shaded part above is M1's answer)", axis=names),
            y=alt.Y("difference:Q", title="M2 − M1", axis=_y_axis()),
            color=either("datum.difference > 0", palette.ALIGNED, palette.UNPATCHED),
            tooltip=_WORD_TOOLTIP,
        )
        .properties(height=230)
    )


def visible(token: str) -> str:
    """A token with its white space made visible, so that " a" and "a" differ."""
    return token.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·") or "∅"


def _described(words: pd.DataFrame) -> pd.DataFrame:
    return words.assign(difference=words["m2"] - words["m1"], shown=words["token"].map(visible))


def _y_axis() -> alt.Axis:
    """Both charts give their labels the same room, so that their tokens stand below each other."""
    return alt.Axis(minExtent=44, maxExtent=44)


def _lookup(frame: pd.DataFrame) -> str:
    """A Vega expression that turns a position into its token; JSON keeps any token a mere string in it."""
    tokens = dict(zip(frame["position"].astype(str), frame["shown"], strict=True))
    return f"({json.dumps(tokens)})[datum.label]"


def _colour(legend: bool) -> alt.Color:
    return alt.Color(
        "model:N",
        scale=alt.Scale(domain=list(MODELS), range=list(MODELS.values())),
        legend=alt.Legend(title=None, orient="top") if legend else None,
    )
