"""The part of the Models page that starts a build on the chosen pair; the Build page then watches and stops it."""

from pathlib import Path

import streamlit as st

from explorer.errors import ExplorerError
from explorer.serve import builds
from explorer.serve.build_files import own_build_file, write_build_file
from explorer.ui.plain import show_problem

BUILD_PAGE = "pages/build.py"


def show_build_form(pair: str) -> None:
    """Fields for a small run on a pair."""
    with st.form("build_form"):
        name = st.text_input("Name of the run", key="run_name", help="Letters, digits, - and _.")
        prompts = st.number_input("Prompts of each suite", 2, 200, 40, key="run_prompts")
        tokens = st.number_input("Tokens of an answer", 4, 256, 32, key="run_tokens")
        pressed = st.form_submit_button("Build a run", icon=":material/construction:")
    if not pressed:
        return
    try:
        file = _begin(name.strip(), pair, int(prompts), int(tokens))
    except ExplorerError as problem:
        show_problem(str(problem))
        return
    st.switch_page(BUILD_PAGE, query_params={"config": file.stem})


def _begin(name: str, pair: str, prompts: int, tokens: int) -> Path:
    known = own_build_file(name)
    if known.is_file():
        builds.check_idle(known)  # before the file says something else than what is being built
    file = write_build_file(name, pair, prompts, tokens)
    builds.start(file)
    return file
