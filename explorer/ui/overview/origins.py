"""Where a run's numbers come from, and the paper's own for context."""

import streamlit as st

from explorer.report.origins import model_rows, ranking_rows, setting_rows, suite_rows
from explorer.report.paper import PAPER_COSTS, PAPER_EFFECTS
from explorer.runs.reader import Run
from explorer.ui.typeset import Typeset, decimals

PAPER = "https://arxiv.org/abs/2406.14144"


def show_origins(run: Run) -> None:
    """Models, prompts, packages and seeds of the run, and the paper's figures with their scope."""
    parts = run.manifest
    models, rankings, paper = st.tabs(["Models and prompts", "Rankings and settings", "The paper's figures"])
    with models:
        st.dataframe(model_rows(parts), hide_index=True, alt="The models of this run and their digests")
        st.dataframe(suite_rows(parts), hide_index=True, alt="The prompt suites of this run")
        for sentence in parts.get("scorers", {}).values():
            st.caption(str(sentence))
    with rankings:
        st.dataframe(ranking_rows(parts), hide_index=True, alt="What each ranking was computed from")
        st.dataframe(setting_rows(parts), hide_index=True, alt="Decoding, seeds and package versions")
    with paper:
        st.caption(
            "Figures of Chen et al. for other models and another cost model, for context only: 200 prompts a "
            "benchmark, 128 new tokens, a fixed 20,000 neurons patched (5.7, 4.4, 2.9 and 5.0 % of the four models)."
        )
        costs = Typeset(PAPER_COSTS, dict.fromkeys(PAPER_COSTS.columns[1:], decimals(1)))
        st.dataframe(costs.data, hide_index=True, alt="Mean cost on Beavertails in the paper")
        st.caption("Mean cost on Beavertails, lower is safer.")
        st.dataframe(PAPER_EFFECTS, hide_index=True, alt="Causal effects in the paper")
        st.caption("Causal effect in %, 100 = as safe as the DPO model. No figure holds for all models and benchmarks.")
        st.link_button("Chen et al., arXiv 2406.14144", PAPER, icon=":material/open_in_new:")
