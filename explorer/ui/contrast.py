"""Contrast of 4.5 and more where the theme of .streamlit/config.toml alone cannot give it.

`text_colour()` is for charts; `show_contrast()`, called once by the router, is for Streamlit's own elements.
"""

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    import plotly.graph_objects as go

_TEXT = {"light": "#4A4F5C", "dark": "#C3C5D0"}
"""Colours of a chart's text, by the theme: Streamlit's own grey has a contrast of 3.7, too little to read by."""

_SHORTCUT = '[data-testid^="stBaseButton"] kbd { color: inherit; opacity: 1; }'
"""A button's shortcut, which Streamlit writes in 60 % of the button's text."""

_ON_PRIMARY = '[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primaryFormSubmit"] { color: #14151B; }'
"""Streamlit writes white on the primary colour in either theme. On a dark page no colour does for both: one that is
dark enough below white is too dark to be read on the page, where sliders and chosen options are written in it."""


def theme() -> str:
    """The page's theme, "light" or "dark"; light where the browser has not told."""
    return "dark" if st.context.theme.type == "dark" else "light"


def text_colour() -> str:
    """The colour of a chart's text."""
    return _TEXT[theme()]


def figure_in_theme(figure: "go.Figure") -> "go.Figure":
    """The Plotly figure, its axes and legend written in `text_colour()`; changed in place."""
    colour = text_colour()
    figure.update_xaxes(tickfont_color=colour, title_font_color=colour)
    figure.update_yaxes(tickfont_color=colour, title_font_color=colour)
    figure.update_layout(legend_font_color=colour)
    return figure


def show_contrast() -> None:
    """Style what Streamlit gives too little contrast; it takes no room on the page."""
    rules = [_SHORTCUT, _ON_PRIMARY] if theme() == "dark" else [_SHORTCUT]
    st.html(f"<style>{' '.join(rules)}</style>")
