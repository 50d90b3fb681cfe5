"""Models: which pair is loaded, other pairs to load, and a run of your own on them."""

import streamlit as st

from explorer.errors import ExplorerError
from explorer.models.pair_file import pair_files, read_pair_file
from explorer.paths import pairs_folder, short_path
from explorer.serve.pairs import PAIRS, why_not_installed
from explorer.ui.models import model_view as view
from explorer.ui.models.adapter_view import show_adapters
from explorer.ui.models.build_form import show_build_form
from explorer.ui.models.pair_form import show_form
from explorer.ui.plain import show_problem
from explorer.ui.router import route_first_visit

route_first_visit()
st.title("Which models are compared?")
name = st.selectbox(
    "Pair of models",
    list(pair_files()),
    key="pair",
    bind="query-params",
    help=f"Pair files that ship with the project, and your own in {short_path(pairs_folder())}.",
)
try:
    spec = read_pair_file(name)
except ExplorerError as problem:
    show_problem(str(problem))
    st.stop()
view.show_spec(spec)

missing = why_not_installed(name)
service = PAIRS.peek(name)
if missing:
    show_problem(missing)
elif service is not None and service.pair.loading:
    view.show_progress(service.pair)
elif service is not None and service.pair.ready:
    view.show_loaded(service.pair)
    view.show_release(service)
else:
    if service is not None:
        view.show_failure(service.pair)
    if st.button("Load", icon=":material/play_arrow:", type="primary", key="load"):
        PAIRS.load(name)
        st.rerun()
    st.caption("Loading a pair takes memory of pairs that nobody works with, those first that were used longest ago.")

st.header("Adapters that ship")
show_adapters()

st.header("A run of your own")
st.caption(
    "Ranks the neurons of this pair, answers with and without patching, and keeps all of it as a run. The *Build* page "
    "then shows how far it is."
)
show_build_form(name)

st.header("Another pair")
st.caption("Two models of one shape with one tokeniser; `docs/own_models.md` tells every setting.")
show_form()
