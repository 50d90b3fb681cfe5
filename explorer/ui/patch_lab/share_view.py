"""What can be taken along of the answers that are shown: a link that shows them again, files, and Python code."""

from urllib.parse import urlencode

import streamlit as st

from explorer.errors import ExplorerError
from explorer.serve.exports import to_code, to_csv, to_json, to_markdown
from explorer.serve.history import Record
from explorer.serve.snapshots import MOST, save
from explorer.ui.current_run import RUN
from explorer.ui.patch_lab.address import SHORT
from explorer.ui.plain import show_problem

ANSWERS = "answers"
"""The name in the address of answers that are kept on the server."""


def show_share(kept: Record | None) -> None:
    """Buttons under the answers; nothing where there are none, or while they are written.

    Args:
        kept: the answers that are shown.
    """
    if kept is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="share"):
        if st.button("Copy link", icon=":material/link:", key="copy-link", help="To these settings and answers"):
            _show_link(kept)
        with st.popover("Download", icon=":material/download:", key="share-download"):
            for label, mime, suffix, text in (
                ("Report (Markdown)", "text/markdown", "md", to_markdown(kept)),
                ("All of it (JSON)", "application/json", "json", to_json([kept])),
                ("Table (CSV)", "text/csv", "csv", to_csv([kept])),
            ):
                st.download_button(
                    label, text, f"patch-lab.{suffix}", mime, key=f"share-{suffix}", on_click="ignore", type="tertiary"
                )
        with st.popover("Copy as code", icon=":material/code:", key="share-code"):
            st.code(to_code(kept), language="python", wrap_lines=True)


@st.dialog("A link to these answers", width="large", icon=":material/link:")
def _show_link(kept: Record) -> None:
    try:
        name = save(kept)
    except ExplorerError as problem:
        show_problem(str(problem))
        return
    st.code(link_to(name, kept), language=None, wrap_lines=True)
    st.caption(
        f"It opens the Patch lab with this prompt, these settings and these answers. The server keeps the last "
        f"{MOST:,} such links; the settings stand in the link itself where they are short."
    )


def link_to(name: str, kept: Record) -> str:
    """The address of answers that are kept under a name."""
    query = {what: text for what, text in kept.settings.items() if len(text) <= SHORT} | {ANSWERS: name}
    if RUN in st.query_params:
        query[RUN] = st.query_params[RUN]
    base = (st.context.url or "").partition("?")[0] or "patch_lab"
    return f"{base}?{urlencode(query)}"
