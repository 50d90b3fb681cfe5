"""The app as a server: `streamlit run app_server.py`, or `python -m explorer app`.

Streamlit's own server with one difference: a page's address tells the browser where the app begins
(`explorer/ui/page_routes.py`).
"""

import streamlit as st

from explorer.ui.page_routes import page_routes

app = st.App("streamlit_app.py", routes=page_routes())
