"""What tells one browser from another, across its tabs and reloads, and is known to no other."""

import hashlib
from itertools import cycle

import streamlit as st

from explorer.ui.shared_pairs import visitor

_COOKIE = "_streamlit_xsrf"
"""A random token of 16 bytes that Streamlit gives each browser against forged requests; it is new when the browser has
been closed. Its spelling changes (2|mask|token ^ mask|time), the token does not."""

_BYTES = 16


def browser_key() -> str:
    """A digest of the browser's token; the session's own name where it has none, so that nothing is shared."""
    cookie = st.context.cookies.get(_COOKIE)
    token = _token(cookie) if isinstance(cookie, str) else b""  # Streamlit's test harness has no cookies
    return hashlib.sha256(token).hexdigest() if token else visitor()


def _token(cookie: str) -> bytes:
    """The token behind a cookie; empty where it is no such cookie."""
    parts = cookie.strip("\"'").split("|")
    try:
        version, mask, masked = parts[0], bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
    except (IndexError, ValueError):
        return b""
    if version != "2" or not mask or len(masked) != _BYTES:
        return b""
    return bytes(a ^ b for a, b in zip(masked, cycle(mask), strict=False))
