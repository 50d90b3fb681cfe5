"""What patching does to whole answers: scores against the patched fraction, and refusals by kind of prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import altair as alt
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.labels import NBSP, PERCENT_AXIS, suite_label, true_minus
from explorer.charts.legends import top_legend

SERIES = {
    "unpatched": ("M1, unpatched", palette.UNPATCHED),
    "safety": ("Safety neurons patched", palette.PATCHED),
    "random": ("Random neurons patched", palette.RANDOM),
    "anywhere": ("Random neurons anywhere patched", "#56B4E9"),
    "aligned": ("M2, aligned", palette.ALIGNED),
}
"""Names and colours of the columns that answers and effects come in, in the order of legends."""

BREAKING = {
    "unpatched": ("M2, unpatched", palette.ALIGNED),
    "safety": ("M1's activations in its top neurons", palette.PATCHED),
    "random": ("M1's activations in random neurons", palette.RANDOM),
    "anywhere": ("M1's activations in random neurons anywhere", "#56B4E9"),
    "aligned": ("M1", palette.UNPATCHED),
}
"""The same of the other direction, where M1's activations go into M2: "unpatched" is M2 there, and "aligned" M1."""

RANKING_COLOURS = (palette.PATCHED, "#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#8C6D1F", "#B22222", "#444B59")
"""Colours of rankings that stand beside each other, the main one first."""


BANDS = (
    "Bands are 95 % intervals over prompts (Wilson's of shares, else of a paired bootstrap); those of random neurons "
    "span every draw."
)
"""What the bands of these charts are, for captions."""


@dataclass(frozen=True)
class Measure:
    """A column of the effect table that can be drawn.

    Attributes:
        column: its name; _low and _high hold its interval.
        label: short, for a control.
        axis: with its unit.
        share: whether it is a share, drawn in percent.
    """

    column: str
    label: str
    axis: str
    share: bool

    @property
    def is_effect(self) -> bool:
        """Whether it compares with both models (0 = M1, 1 = M2) rather than being a score of its own."""
        return self.column.startswith("effect_")


MEASURES = {
    m.column: m
    for m in (
        Measure("refusal", "Refusals", "Answers that refuse (%)", True),
        Measure("cost", "Cost", "Mean cost (above 0 harmful, lower is safer)", False),
        Measure("reward", "Reward", "Mean reward (higher is more helpful)", False),
        Measure("effect_refusal", "Effect on refusals", "Causal effect on refusals (%; 100 = as M2)", True),
        Measure("effect_cost", "Effect on cost", "Causal effect on cost (%; 100 = as M2)", True),
        Measure("effect_reward", "Effect on reward", "Causal effect on reward (%; 100 = as M2)", True),
        Measure("degenerate", "Degenerate", "Degenerate answers (%)", True),
    )
}


def effect_on(score: str) -> Measure:
    """The causal effect on a score; judges have scores of their own."""
    column, words = f"effect_{score}", score.replace("_", " ")
    own = Measure(column, f"Effect on {words}", f"Causal effect on {words} (%; 100 = as M2)", True)
    return MEASURES.get(column, own)


_COLUMNS = ["series", "fraction", "k", "value", "low", "high", "draw_min", "draw_max", "n", "seeds", "max_new_tokens"]


def turned(measure: Measure, to: str) -> Measure:
    """A measure whose effect is complete where answers are as those of model `to`, "M1" or "M2"."""
    return replace(measure, axis=measure.axis.replace("100 = as M2", f"100 = as {to}"))


def ranking_series(
    titles: Mapping[str, str], base: Mapping[str, tuple[str, str]] = SERIES
) -> dict[str, tuple[str, str]]:
    """Names and colours of a chart of several rankings, for `effect_chart`.

    Args:
        titles: rankings by name, in words, the main one first.
        base: those of the columns that stand beside them.
    """
    colours = zip(titles.items(), (RANKING_COLOURS * len(titles))[: len(titles)], strict=True)
    lines = {name: (title, colour) for (name, title), colour in colours}
    return {"unpatched": base["unpatched"], **lines, "random": base["random"], "aligned": base["aligned"]}


def rankings_frame(effect: pd.DataFrame, models: pd.DataFrame, suite: str, measure: Measure, main: str) -> pd.DataFrame:
    """The lines of several rankings' top sets, each a series, and of random neurons; as `effect_frame`.

    Random neurons are those drawn for the main ranking, and at sizes for which it has none those of another one.

    Args:
        effect, models: of all rankings.
        suite: a prompt suite.
        measure: what is drawn.
        main: the main ranking.
    """
    top = effect[effect["set"] == "safety"]
    random = effect[effect["set"] == "random"]
    random = random.assign(of_others=random["ranking"] != main).sort_values("of_others", kind="stable")
    shown = pd.concat([top, random.drop_duplicates(["suite", "fraction"]).drop(columns="of_others")])
    shown = shown.assign(set=shown["ranking"].where(shown["set"] == "safety", "random"))
    return effect_frame(shown, models, suite, measure, sorted(set(shown["set"])))


def effect_frame(
    effect: pd.DataFrame, models: pd.DataFrame, suite: str, measure: Measure, series: Sequence[str] = tuple(SERIES)
) -> pd.DataFrame:
    """The lines of one suite: columns series, fraction, k, value, low, high, n, seeds, max_new_tokens.

    And draw_min, draw_max: the lowest and highest random draw; nan where there is one, or the run does not hold them. A
    line starts at fraction 0, which is the model that is patched. `series` are the sets that are lines. Undefined
    values are left out.
    """
    patched = effect[(effect["suite"] == suite) & effect["set"].isin(series)].rename(columns={"set": "series"})
    frame = patched.assign(
        value=patched[measure.column],
        low=patched[f"{measure.column}_low"],
        high=patched[f"{measure.column}_high"],
        **_draws(patched, measure.column),
    )[_COLUMNS].dropna(subset=["value"])
    if frame.empty:
        return frame
    starts = [_start(frame, name, reference_frame(models, suite, measure)) for name in frame["series"].unique()]
    return pd.concat([*starts, frame], ignore_index=True).sort_values(["series", "fraction"], ignore_index=True)


def reference_frame(models: pd.DataFrame, suite: str, measure: Measure) -> pd.DataFrame:
    """Where M1 and M2 lie: columns series, value, low, high, n, max_new_tokens (0 and 1 for an effect)."""
    rows = models[models["suite"] == suite].rename(columns={"column": "series"})
    if measure.is_effect:
        value = (rows["series"] == "aligned").astype(float)
        rows = rows.assign(value=value, low=value, high=value)
    else:
        low, high = rows[f"{measure.column}_low"], rows[f"{measure.column}_high"]
        rows = rows.assign(value=rows[measure.column], low=low, high=high)
    return rows[["series", "value", "low", "high", "n", "max_new_tokens"]].dropna(subset=["value"])


def effect_chart(
    frame: pd.DataFrame,
    references: pd.DataFrame,
    measure: Measure,
    series: Mapping[str, tuple[str, str]] = SERIES,
) -> Layered:
    """Lines with interval bands against the patched fraction, M1 and M2 as dashed rules.

    The fraction's axis is logarithmic from the smallest fraction on, and linear from there down to 0.

    Args:
        frame: of `effect_frame` or `rankings_frame`, not empty.
        references: of `reference_frame`.
        measure: what both show.
        series: names and colours of the lines and rules.
    """
    shown = [s for s in series if s in set(frame["series"]) | set(references["series"])]
    colour = _colour(shown, series)
    lines, rules = _named(frame, series), _named(references, series)
    smallest = float(frame.loc[frame["fraction"] > 0, "fraction"].min())
    x = alt.X(
        "fraction:Q",
        title="Neurons patched (% of all, log scale)",
        scale=alt.Scale(type="symlog", constant=smallest, nice=False),
    )
    ticks = sorted({0.0, *frame["fraction"]})
    x = x.axis(alt.Axis(values=ticks, labelExpr=PERCENT_AXIS, labelOverlap="greedy", grid=False))
    y = alt.Y("value:Q", title=measure.axis, scale=alt.Scale(zero=measure.share), axis=_axis(measure.share))
    tooltip = [alt.Tooltip("name:N", title="Answers of"), *_numbers(measure.share)]
    patched = [
        alt.Tooltip("fraction:Q", title="Neurons patched", format=".2~%"),
        alt.Tooltip("k:Q", title="that is", format=","),
        alt.Tooltip("seeds:Q", title="Random draws"),
        alt.Tooltip("spread:N", title="Lowest to highest draw"),
    ]
    lines = lines.assign(spread=_spread(lines, measure.share))
    base = alt.Chart(lines).encode(x=x)
    return alt.layer(
        alt.Chart(rules).mark_rule(strokeDash=[6, 4], strokeWidth=1.5).encode(y=y, color=colour, tooltip=tooltip),
        base.mark_area(opacity=0.16).encode(
            y=alt.Y("low:Q", title=measure.axis), y2="high:Q", color=colour, tooltip=alt.TooltipValue(None)
        ),
        base.mark_line(strokeWidth=2.5).encode(y=y, color=colour, tooltip=alt.TooltipValue(None)),
        base.mark_point(filled=True, size=60, opacity=1).encode(y=y, color=colour, tooltip=[*tooltip, *patched]),
    ).properties(height=380)


def rates_frame(models: pd.DataFrame, effect: pd.DataFrame, fraction: float) -> pd.DataFrame:
    """Refusals of every column on every suite, patched at one fraction.

    Columns suite, prompts (in words), series, value, low, high, draw_min, draw_max, n, seeds, max_new_tokens.
    """
    plain = models.rename(columns={"column": "series"}).assign(seeds=1)
    near = effect[((effect["fraction"] - fraction).abs() < 1e-9) & effect["set"].isin(("safety", "random"))]
    rows = pd.concat([plain, near.rename(columns={"set": "series"})], ignore_index=True)
    rows = rows.assign(
        prompts=rows["suite"].map(suite_label),
        value=rows["refusal"],
        low=rows["refusal_low"],
        high=rows["refusal_high"],
        **_draws(rows, "refusal"),
    )
    columns = [c for c in _COLUMNS if c not in ("fraction", "k")]
    return rows[["suite", "prompts", *columns]].dropna(subset=["value"])


def rates_chart(frame: pd.DataFrame) -> Layered:
    """A point with its interval for every suite and column of answers.

    Args:
        frame: of `rates_frame`, not empty.
    """
    shown = [s for s in SERIES if s in set(frame["series"])]
    names = [SERIES[s][0] for s in shown]
    base = alt.Chart(_named(frame.assign(spread=_spread(frame, True)))).encode(
        y=alt.Y("prompts:N", title=None, sort=None, axis=alt.Axis(labelLimit=260, ticks=False, domain=False)),
        yOffset=alt.YOffset("name:N", sort=names, scale=alt.Scale(domain=names, paddingOuter=0.4)),
        color=_colour(shown),
        tooltip=[
            alt.Tooltip("name:N", title="Answers of"),
            alt.Tooltip("prompts:N", title="Prompts"),
            *_numbers(True),
            alt.Tooltip("seeds:Q", title="Random draws"),
            alt.Tooltip("spread:N", title="Lowest to highest draw"),
        ],
    )
    steps = alt.Axis(labelExpr=PERCENT_AXIS, values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    x = alt.X("value:Q", title=MEASURES["refusal"].axis, scale=alt.Scale(domain=[0, 1]), axis=steps)
    return alt.layer(
        base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(
            x=alt.X("low:Q", title=MEASURES["refusal"].axis), x2="high:Q"
        ),
        base.mark_point(filled=True, size=90, opacity=1).encode(x=x),
    ).properties(height=100 * frame["suite"].nunique() + 30)


def _start(frame: pd.DataFrame, series: str, references: pd.DataFrame) -> pd.DataFrame:
    m1 = references[references["series"] == "unpatched"]
    seeds = frame.loc[frame["series"] == series, "seeds"].iloc[0]
    nan = float("nan")
    return m1.assign(series=series, fraction=0.0, k=0, seeds=seeds, draw_min=nan, draw_max=nan)[_COLUMNS]


def _draws(rows: pd.DataFrame, column: str) -> dict[str, pd.Series | float]:
    """The lowest and highest random draw of each row."""
    return {end: rows.get(f"{column}_{end}", float("nan")) for end in ("draw_min", "draw_max")}


def _spread(frame: pd.DataFrame, share: bool) -> list[str]:
    """The spread between random draws in words; a dash where there is none."""
    pairs = zip(frame["draw_min"], frame["draw_max"], strict=True)
    scale, form, unit = (100, ".1f", f"{NBSP}%") if share else (1, ".2f", "")
    said = [true_minus(f"{scale * low:{form}} to {scale * high:{form}}{unit}") for low, high in pairs]
    return ["–" if missing else words for missing, words in zip(frame["draw_min"].isna(), said, strict=True)]


def _named(frame: pd.DataFrame, series: Mapping[str, tuple[str, str]] = SERIES) -> pd.DataFrame:
    return frame.assign(name=frame["series"].map({s: name for s, (name, _) in series.items()}).fillna(frame["series"]))


def _colour(shown: list[str], series: Mapping[str, tuple[str, str]] = SERIES) -> alt.Color:
    names, colours = zip(*(series[s] for s in shown), strict=True)
    return alt.Color(
        "name:N",
        scale=alt.Scale(domain=list(names), range=list(colours)),
        legend=top_legend(names, symbolType="circle"),
    )


def _axis(share: bool) -> alt.Axis:
    return alt.Axis(labelExpr=PERCENT_AXIS) if share else alt.Axis()


def _numbers(share: bool) -> list[alt.Tooltip]:
    form = ".1%" if share else ".2f"
    return [
        alt.Tooltip("value:Q", title="Value", format=form),
        alt.Tooltip("low:Q", title="95 % interval from", format=form),
        alt.Tooltip("high:Q", title="to", format=form),
        alt.Tooltip("n:Q", title="Prompts (n)"),
        alt.Tooltip("max_new_tokens:Q", title="Tokens an answer, at most"),
    ]
