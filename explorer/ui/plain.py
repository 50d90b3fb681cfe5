"""Text from outside, shown by elements that read Markdown."""

import re

import streamlit as st

_SPECIAL = re.compile(r"[\\`*_\[\]<>~$|&]|-(?=-)")
_ADDRESS = re.compile(r"(?i)(www|[:@])(?=\S)")


def plain(text: str) -> str:
    """A sentence escaped for Markdown: every sign shows as itself, nothing becomes a link, an icon or a formula.

    Error sentences quote what a person typed or what stood in an address; this keeps it a quotation. A
    zero-width joiner keeps addresses from becoming links, which Markdown makes of them even when escaped.
    """
    one_line = " ".join(text.split())
    return _SPECIAL.sub(lambda sign: "\\" + sign[0], _ADDRESS.sub("\\1\u2060", one_line))


def show_problem(sentence: str) -> None:
    """One sentence in place of what could not be done."""
    st.error(plain(sentence), icon=":material/error:")
