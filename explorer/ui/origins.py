"""Where a run's numbers come from, and the paper's own for context."""

from typing import Any

import pandas as pd
import streamlit as st

from explorer.charts.labels import ranking_about, ranking_label
from explorer.runs.reader import Run
from explorer.ui.findings import PAPER_EFFECTS

PAPER = "https://arxiv.org/abs/2406.14144"

PAPER_COSTS = pd.DataFrame(
    [
        ("Llama2-7B", 2.2, -5.7, -2.4, -11.9, -11.8),
        ("Mistral-7B", -1.6, -10.0, -7.6, -12.9, -13.5),
        ("Gemma-7B", 1.1, -10.3, -8.2, -13.4, -13.6),
        ("Qwen2.5-3B", 0.9, -12.0, -10.9, -13.3, -13.8),
    ],
    columns=["Model", "Base", "Base, patched", "SFT", "SFT, patched", "DPO"],
)
"""Mean cost on Beavertails, lower is safer."""


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
        st.dataframe(PAPER_COSTS, hide_index=True, alt="Mean cost on Beavertails in the paper")
        st.caption("Mean cost on Beavertails, lower is safer.")
        st.dataframe(PAPER_EFFECTS, hide_index=True, alt="Causal effects in the paper")
        st.caption("Causal effect in %, 100 = as safe as the DPO model. No figure holds for all models and benchmarks.")
        st.link_button("Chen et al., arXiv 2406.14144", PAPER, icon=":material/open_in_new:")


def model_rows(manifest: dict[str, Any]) -> pd.DataFrame:
    """What M1 and M2 are made of: columns Model, Part, Name, SHA-256."""
    rows = []
    for name in ("m1", "m2"):
        model = manifest["pair"][name]
        rows.append((name.upper(), "base", model["base"], model.get("digest", "")))
        rows += [(name.upper(), "adapter", a.get("name", ""), a.get("sha256", "")) for a in model.get("adapters", [])]
    return pd.DataFrame(rows, columns=["Model", "Part", "Name", "SHA-256"]).astype(str)


def suite_rows(manifest: dict[str, Any]) -> pd.DataFrame:
    """The prompt suites: columns Suite, Prompts, SHA-256, and Description where there is one."""
    suites = manifest.get("suites", {})
    frame = pd.DataFrame(
        [
            (name, int(s.get("n", 0)), str(s.get("sha256", "")), str(s.get("description", "")))
            for name, s in suites.items()
        ],
        columns=["Suite", "Prompts", "SHA-256", "Description"],
    )
    return frame if frame["Description"].any() else frame.drop(columns="Description")


def ranking_rows(manifest: dict[str, Any]) -> pd.DataFrame:
    """The rankings: columns Ranking, Name in files, Computed from."""
    rows = [(ranking_label(name), name, ranking_about(about)) for name, about in manifest["rankings"].items()]
    return pd.DataFrame(rows, columns=["Ranking", "Name in files", "Computed from"])


def setting_rows(manifest: dict[str, Any]) -> pd.DataFrame:
    """All other settings: columns Setting, Value."""
    rows = [("created", manifest.get("created", "")), ("explorer", manifest.get("explorer_version", ""))]
    rows.append(("number format", manifest["pair"].get("dtype", "")))
    for group, label in (("decoding", ""), ("seeds", "seed: "), ("packages", "")):
        rows += [(f"{label}{name}", value) for name, value in manifest.get(group, {}).items()]
    return pd.DataFrame(rows, columns=["Setting", "Value"]).astype(str)
