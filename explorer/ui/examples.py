"""Answers of a run side by side: what M1, patched M1 and M2 wrote to one prompt."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from explorer.charts.labels import percent
from explorer.scoring.degenerate import is_degenerate
from explorer.ui import by
from explorer.ui.findings import BOTH_SIDES

COLUMNS = by.COLUMNS[by.RESTORE]
_COLOURS = {"unpatched": "orange", "patched": "violet", "aligned": "green"}


@dataclass(frozen=True)
class Example:
    """A prompt of the run and whether it shows the effect.

    Attributes:
        prompt_id, prompt: of the suite.
        telling: whether M1 answers while patched M1 and M2 refuse.
    """

    prompt_id: str
    prompt: str
    telling: bool


def examples(answers: pd.DataFrame, suite: str, fraction: float) -> list[Example]:
    """The prompts of a suite that safety neurons of this fraction were patched on, in the suite's order."""
    rows = _shown(answers, suite, fraction)
    refused = rows.pivot_table(index="prompt_id", columns="column", values="refused", sort=False)
    prompts = rows.drop_duplicates("prompt_id").set_index("prompt_id")["prompt"]
    complete = refused.reindex(columns=list(COLUMNS)).dropna()
    telling = (complete["unpatched"] == 0) & (complete["patched"] == 1) & (complete["aligned"] == 1)
    return [Example(str(i), str(prompts[i]), bool(telling[i])) for i in complete.index]


def answers_to(answers: pd.DataFrame, suite: str, fraction: float, prompt_id: str) -> dict[str, pd.Series]:
    """The rows of `COLUMNS` for one prompt."""
    rows = _shown(answers, suite, fraction)
    rows = rows[rows["prompt_id"].astype(str) == prompt_id]
    return {column: rows[rows["column"] == column].iloc[0] for column in COLUMNS if (rows["column"] == column).any()}


def show_examples(answers: pd.DataFrame, suite: str, fraction: float) -> None:
    """A prompt to choose, and the three answers to it."""
    found = examples(answers, suite, fraction)
    if not found:
        st.caption(f"The run holds no answers with {percent(fraction)} of the neurons patched to these prompts.")
        return
    first = next((i for i, example in enumerate(found) if example.telling), 0)
    chosen = st.selectbox(
        "Prompt", found, index=first, format_func=lambda e: e.prompt, key=f"example_{suite}", help="A held-out prompt."
    )
    rows = answers_to(answers, suite, fraction, chosen.prompt_id)
    for place, (column, row) in zip(st.columns(3), rows.items(), strict=False):
        with place.container(border=True, height="stretch"):
            share = f" at {percent(fraction)}" if column == "patched" else ""
            st.markdown(f":{_COLOURS[column]}[**{COLUMNS[column]}{share}**]")
            st.text(row["answer"] or "(an empty answer)")
            st.space("stretch")
            verdict = "refused" if row["refused"] else "not refused"
            known = [s for s in BOTH_SIDES if not pd.isna(row.get(s))]
            scores = "".join(f" · {score} {row[score]:+.1f}" for score in known)
            degenerate = " · degenerate" if is_degenerate(row["answer"]) else ""
            st.caption(f"{verdict}{scores}{degenerate} · {row['tokens']} tokens")


def _shown(answers: pd.DataFrame, suite: str, fraction: float) -> pd.DataFrame:
    """The answers of the suite that the three columns show."""
    mine = answers["suite"] == suite
    patched = (answers["set"] == "safety") & ((answers["fraction"] - fraction).abs() < 1e-9)
    return answers[mine & ((answers["column"] != "patched") | patched)]
