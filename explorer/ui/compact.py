"""Less room above a page's first chart than Streamlit leaves, so that it stands above the fold of a laptop."""

import streamlit as st

_RULES = """
[data-testid="stMainBlockContainer"] { padding-top: 4.5rem; }
[data-testid="stHeadingWithActionElements"] h1 { padding-top: 0.25rem; padding-bottom: 0.5rem; }
[data-testid="stHeadingWithActionElements"] h2 { padding-top: 0.5rem; padding-bottom: 0.25rem; }
"""


def show_compact() -> None:
    """Style the page; it takes no room on it."""
    st.html(f"<style>{_RULES}</style>")
