"""A prompt of the run to choose, and the three answers to it."""

import pandas as pd
import streamlit as st

from explorer.charts.labels import percent, signed
from explorer.report.example_answers import COLUMNS, answers_to, examples
from explorer.report.sentences import BOTH_SIDES
from explorer.scoring.degenerate import is_degenerate

_COLOURS = {"unpatched": "orange", "patched": "violet", "aligned": "green"}


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
            scores = "".join(f" · {score} {signed(row[score])}" for score in known)
            degenerate = " · degenerate" if is_degenerate(row["answer"]) else ""
            st.caption(f"{verdict}{scores}{degenerate} · {row['tokens']} tokens")
