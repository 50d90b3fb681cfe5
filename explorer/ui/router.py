"""The way from an address to a page."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from explorer.public import is_public
from explorer.serve.watching import start_watching
from explorer.ui.compact import show_compact
from explorer.ui.contrast import show_contrast
from explorer.ui.one_step_back import one_step_back
from explorer.ui.pages import PAGES

TITLE = "Safety-neuron explorer"
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="64" height="64">'
    '<path d="M6 9 16 16 26 8M16 16 8 25M16 16 25 24" stroke="#8A8F98" stroke-width="2.5"/>'
    '<g fill="#D55E00"><circle cx="6" cy="9" r="4"/><circle cx="8" cy="25" r="4"/></g>'
    '<g fill="#009E73"><circle cx="26" cy="8" r="4"/><circle cx="25" cy="24" r="4"/></g>'
    '<circle cx="16" cy="16" r="6" fill="#7B4FD0"/></svg>'
)
"""The browser tab's icon; a Material symbol there would be fetched from outside."""


_HOME = next(p.url_path for p in PAGES if p.default)
_BARE = "home"
"""Streamlit serves the default page under the bare address alone, so that page is called `_BARE`, and its own name is a
hidden page that leads there."""


def route() -> None:
    """Show the menu and run the page that the address names."""
    st.set_page_config(page_title=TITLE, page_icon=ICON, layout="wide")
    start_watching()
    pages = [
        st.Page(
            p.file,
            title=p.title,
            icon=p.icon,
            url_path=_BARE if p.default else p.url_path,
            default=p.default,
            help=p.about,
        )
        for p in PAGES
        if p.public or not is_public()
    ]
    page = st.navigation([*pages, st.Page(_go_home, title=TITLE, url_path=_HOME, visibility="hidden")], position="top")
    st.set_page_config(page_title=f"{page.title} · {TITLE}")
    show_contrast()
    show_compact()
    one_step_back()
    page.run()


def _go_home() -> None:
    """The default page has the bare address; its own name leads there as well."""
    st.switch_page(next(p.file for p in PAGES if p.default), query_params=st.query_params.to_dict())


def route_first_visit() -> None:
    """Go through the router even where Streamlit has bypassed it; every page calls this first.

    Until `st.navigation` has run once in a server, Streamlit takes a folder named `pages` for an app of its old kind
    and runs a page that somebody's first address names without the entry script.
    """
    if PagesManager.uses_pages_directory:
        route()
        st.stop()
