"""What the server sends for a page's address.

Streamlit's client does not know where the app begins when it is opened at a page, /tools/neurons say: the page's name
might be a folder of the app's address. It asks the server below /tools/neurons first, is told twice that there is
nothing, and asks again one step up. Here the document of a page says that the app begins one step above it, so that
links open with one question less and without errors in the browser's console.
"""

from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from explorer.ui.pages import PAGES

_CLIENT = '<script type="module"'
"""Where the client itself begins; what it is told stands before that."""

_ONE_STEP_UP = '<script>window.__streamlit = { BACKEND_BASE_URL: new URL(".", location.href).href }</script>\n    '
"""Read by the client when it starts. The browser's own address, since a proxy may put the app below a path that the
server does not know."""


def page_routes() -> list[Route]:
    """A route for each page; none where Streamlit's document is not the one that this was written for."""
    document = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    if document.count(_CLIENT) != 1:
        return []
    told = document.replace(_CLIENT, _ONE_STEP_UP + _CLIENT)

    def page(_request: Request) -> HTMLResponse:
        return HTMLResponse(told, headers={"Cache-Control": "no-cache"})

    base = st.get_option("server.baseUrlPath").strip("/")
    return [Route("/".join(["", *filter(None, [base, entry.url_path])]), page) for entry in PAGES]
