"""Safety neurons along a training: likeness with the end, and what is restored, against the step."""

import altair as alt
import pandas as pd

from explorer.charts import Layered, palette
from explorer.charts.legends import top_legend

LIKENESS = {"overlap": "Overlap with the last step", "spearman": "Spearman ρ of the shared", "chance": "Chance"}
RATES = {"refusal_m1": "M1", "refusal_patched": "M1, patched", "refusal_m2": "M2 at that step"}


def likeness_chart(table: pd.DataFrame) -> Layered:
    """Overlap with the last checkpoint's top set, its chance and ρ.

    Args:
        table: of `explorer.studies.series.series_table`, of one fraction.
    """
    colours = [palette.PATCHED, "#0072B2", palette.RANDOM]
    return _lines(table, LIKENESS, colours, "Likeness (−1 to 1)", ".2f", bands=False)


def refusal_chart(table: pd.DataFrame) -> Layered:
    """How often M1, patched M1 and M2 refuse at each checkpoint, with 95 % intervals.

    Args:
        table: of `explorer.studies.series.series_table`, of one fraction.
    """
    colours = [palette.UNPATCHED, palette.PATCHED, palette.ALIGNED]
    return _lines(table, RATES, colours, "Share of answers that refuse", ".0%", bands=True)


def _lines(
    table: pd.DataFrame, names: dict[str, str], colours: list[str], title: str, form: str, bands: bool
) -> Layered:
    parts = []
    for column, name in names.items():
        part = table[["step", "n"]].assign(what=name, value=table[column])
        low, high = (table.get(f"{column}_{end}", table[column]) for end in ("low", "high"))
        parts.append(part.assign(low=low, high=high))
    tidy = pd.concat(parts, ignore_index=True).dropna(subset=["value"])
    base = alt.Chart(tidy).encode(
        x=alt.X("step:Q", title="Training step", axis=alt.Axis(grid=False)),
        color=alt.Color(
            "what:N",
            scale=alt.Scale(domain=list(names.values()), range=colours),
            legend=top_legend(list(names.values())),
        ),
        tooltip=[
            alt.Tooltip("step:Q", title="Step"),
            alt.Tooltip("what:N", title="What"),
            alt.Tooltip("value:Q", title="Value", format=form),
            alt.Tooltip("n:Q", title="Prompts"),
        ],
    )
    y = alt.Y("value:Q", title=title, axis=alt.Axis(format=form))
    layers = [base.mark_line(strokeWidth=2.5).encode(y=y), base.mark_point(filled=True, size=55, opacity=1).encode(y=y)]
    if bands:
        band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
        layers.insert(0, band)
    return alt.layer(*layers).properties(height=320)
