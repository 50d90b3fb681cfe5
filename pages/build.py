"""Build: compute a run from a build file; start it, watch it, stop it. The app stays usable meanwhile."""

import streamlit as st

from explorer.ui import build_page as view
from explorer.ui.router import route_first_visit

route_first_visit()
st.title("Build a run")
st.markdown(
    "A build turns models and prompts into a run. It is a process of its own: it goes on when this page is left or the "
    "app is closed, and one that was stopped resumes where it was."
)
file = view.choose_file()
if file is not None:
    view.show_controls(file)
    view.show_progress(file)
    view.show_settings(file)
