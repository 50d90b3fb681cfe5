"""How safety neurons act: where and how deep, by which paths, on which tokens, along which direction."""

import streamlit as st

from explorer.charts.labels import percent
from explorer.report.mechanism import answer_sentence
from explorer.report.ranking_names import default_fraction
from explorer.ui.current_run import current_run
from explorer.ui.lab_links import lab_link
from explorer.ui.mechanism.sections import SECTIONS
from explorer.ui.result_controls import choose
from explorer.ui.study_page import has_table, missing

run = current_run()
st.title("How do safety neurons act?")
held = {section.table: section for section in SECTIONS if has_table(run, section.table)}
if not held:
    missing(run, "a study of the mechanism", "[depth]")
    st.stop()

answer = answer_sentence(run)
if answer:
    st.markdown(answer)
with st.container(horizontal=True, vertical_alignment="bottom"):
    part = choose("part", "Question", {name: section.title for name, section in held.items()})
    main = run.main_ranking
    if main:
        fraction = default_fraction(main, run.manifest["rankings"])
        lab_link(
            f"Patch the top {percent(fraction)} yourself", "The Patch lab, and a trace", ranking=main, fraction=fraction
        )
held[part].show(run)
