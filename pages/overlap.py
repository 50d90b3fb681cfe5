"""Overlap and tax: how many neurons two rankings share, beside chance; and what the shared ones carry."""

import streamlit as st

from explorer.ui.current_run import current_run, has_rankings
from explorer.ui.overlap.rankings_view import show_likeness
from explorer.ui.overlap.tax_view import show_ablation, show_tax

run = current_run()
st.title("How alike are two rankings?")
if not has_rankings(run):
    st.stop()

# Only the part that is looked at is drawn: each is several charts.
rankings, tax, ablation = st.tabs(["Rankings", "Alignment tax", "Ablation"], key="part", bind="query-params")
if rankings.open:
    with rankings:
        show_likeness(run)
if tax.open:
    with tax:
        show_tax(run)
if ablation.open:
    with ablation:
        show_ablation(run)
