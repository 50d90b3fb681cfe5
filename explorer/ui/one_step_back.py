"""A page is one step of the browser's history, however often its address changes.

Streamlit pushes a step for every change of the address that the server makes; after moving the Patch lab's slider five
times, Back would have to be pressed five times to leave.
"""

import streamlit as st

_KEY = "one-step-back"

_SCRIPT = """
if (!window.oneStepBack) {
  window.oneStepBack = true;
  const push = history.pushState.bind(history);
  history.pushState = (state, title, url) => {
    const stays = url && new URL(url, location.href).pathname === location.pathname;
    return stays ? history.replaceState(state, title, url) : push(state, title, url);
  };
}
"""


def one_step_back() -> None:
    """Let a changed address of the same page take the place of the one before; takes no room on the page."""
    with st.container(key=_KEY):
        st.html(
            f"<style>.st-key-{_KEY} {{display: none}}</style><script>{_SCRIPT}</script>", unsafe_allow_javascript=True
        )
