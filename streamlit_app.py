"""The app's entry script: `streamlit run streamlit_app.py`, or `python -m explorer app`.

It only routes: the pages are listed in `explorer/ui/pages.py`, each is a script of its own in `pages/`.
"""

from explorer.ui.router import route

route()
