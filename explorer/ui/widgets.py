"""Small pieces that several pages use."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.charts import Layered
from explorer.charts.labels import NUMBERS, percent, rate
from explorer.report.facts import Rate
from explorer.report.sentences import first_sentences
from explorer.ui.address_values import FRACTION, heed
from explorer.ui.contrast import text_colour


def say(finding: str, line: DeltaGenerator | None = None) -> DeltaGenerator:
    """A finding: its first sentences, and the rest behind a click, so that the chart stays in view.

    Args:
        finding: in Markdown.
        line: of controls above it, which takes what opens the rest; None for a new line below it.

    Returns:
        The place for the chart's controls, in one line with what opens the rest.
    """
    first, rest = first_sentences(finding)
    st.markdown(first)
    line = line or st.container(horizontal=True, vertical_alignment="bottom")
    controls = line.container(horizontal=True, width="content")
    if rest:
        with line.popover("The rest of the finding", type="tertiary"):
            st.markdown(rest)
    return controls


def caption_and_csv(caption: str, file_name: str, make: Callable[[], pd.DataFrame], key: str) -> None:
    """What is to be known of a chart, and a button for the data behind it, in one line."""
    with st.container(horizontal=True, vertical_alignment="top", wrap=False):
        st.caption(caption, width="stretch")
        download_csv("CSV", file_name, make, key)


def download_csv(label: str, file_name: str, make: Callable[[], pd.DataFrame], key: str) -> None:
    """A button that makes a table only when it is clicked, and gives it as CSV."""
    st.download_button(
        label,
        data=lambda: make().to_csv(index=False).encode(),
        file_name=file_name,
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=key,
    )


class Unchecked:
    """A chart that is not held against Vega-Lite's schema each time it is drawn: that takes longer than all else.

    The tests hold every chart against it. Its text has a contrast of 4.5 or more in either theme.
    Passed to `st.altair_chart`, which asks a chart for nothing but `to_dict`.
    """

    def __init__(self, chart: alt.Chart | Layered) -> None:
        self._chart = chart

    def to_dict(self) -> dict[str, Any]:
        """The Vega-Lite specification."""
        spec = self._chart.to_dict(validate=False)
        colour = text_colour()
        config = spec.setdefault("config", {})
        config["locale"] = {"number": NUMBERS}
        for part in ("axis", "legend", "header"):
            config[part] = {"labelColor": colour, "titleColor": colour} | config.get(part, {})
        return spec


def show_chart(chart: alt.Chart | Layered, alt_text: str) -> None:
    """A chart as wide as the page."""
    st.altair_chart(cast(alt.Chart, Unchecked(chart)), width="stretch", alt=alt_text)


def rate_card(label: str, found: Rate | None) -> None:
    """A refusal rate with where it comes from, as one cell of a grid."""
    with st.container(border=True, height="stretch"):
        st.metric(label, None if found is None else rate(found.value))
        st.caption("Not measured." if found is None else found.bounds())


def show_random(near: tuple[float, Rate] | None, fraction: float) -> None:
    """The card of random neurons, which names its fraction where that is not the one that the other cards are of.

    Args:
        near: of `report.facts.random_near`.
        fraction: of the other cards.
    """
    if near is None or abs(near[0] - fraction) < 1e-9:
        rate_card("As many random neurons", None if near is None else near[1])
    else:
        rate_card(f"{percent(near[0])} random neurons, the nearest measured", near[1])


def choose_fraction(
    label: str, fractions: Sequence[float], default: float, key: str, about: str | None = None
) -> float:
    """A slider over sizes of sets, kept in the address by its label; it heeds `?top=5%25` and `?fraction=0.05` too."""
    labels = {percent(f): float(f) for f in fractions}
    asked = heed(key, labels, FRACTION)
    return st.select_slider(
        label,
        fractions,
        value=None if asked else default,
        format_func=percent,
        key=key,
        bind="query-params",
        help=about,
    )
