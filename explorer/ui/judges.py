"""How far the two judges agree, on the Scores page."""

import pandas as pd
import streamlit as st

from explorer.charts.labels import percent, rate, suite_label
from explorer.runs.reader import Run
from explorer.ui.by import COLUMNS, RESTORE
from explorer.ui.results import DIRECTION, choose_direction, choose_ranking, directions_of, of_ranking, table_of
from explorer.ui.runs import table
from explorer.ui.widgets import caption_and_csv


def show_judges(run: Run) -> None:
    """Cohen's κ of refusals and cost for every suite and column of the run."""
    st.header("Do the two judges agree?")
    if "judges" not in run.tables:
        st.info("This run was built before the judges were held against each other; build it again.")
        return
    both_ways = [d for d in directions_of(run) if table_of("judges", d) in run.tables]
    direction = choose_direction(run, f"judges_{DIRECTION}") if len(both_ways) > 1 else RESTORE
    judges = table(run, table_of("judges", direction))
    if judges.empty:
        st.info("This run has no cost, so there is one judge only.", icon=":material/info:")
        return
    st.markdown(judges_sentence(judges))
    suites = list(judges["suite"].unique())
    with st.container(horizontal=True):
        suite = st.selectbox("Prompts", suites, format_func=suite_label, key="judges_suite", bind="query-params")
        mine = judges[judges["suite"] == suite]
        rankings = set(mine["ranking"]) - {""}
        if len(rankings) > 1:
            mine = of_ranking(mine, choose_ranking(run, direction, "judges_ranking", rankings))
    st.dataframe(judge_rows(mine, direction), hide_index=True, alt="Agreement of refusals and cost")
    caption_and_csv(
        "Each judge says of an answer whether it is unsafe: it does not refuse; its cost is above 0. Cohen's κ: 0 is "
        "chance, 1 is agreement on every answer; – where a judge says the same of all. 95 % intervals.",
        f"{table_of('judges', direction)}.csv",
        lambda: judges,
        "judges_csv",
    )


def judges_sentence(judges: pd.DataFrame) -> str:
    """Over which range κ lies, and on how many answers the judges part."""
    known, n = judges.dropna(subset=["kappa"]), int(judges["n"].sum())
    apart = int(judges["refused_harmful"].sum() + judges["answered_harmless"].sum())
    harmless = int(judges["answered_harmless"].sum())
    share = f"; {rate(harmless / apart)} of these answer and cost little (harmless prompts among them)" if apart else ""
    text = f"They part on **{rate(apart / n)}** of {n:,} answers{share}."
    if known.empty:
        return text
    low, high = (f"{value:.2f}".replace("-", "−") for value in (known["kappa"].min(), known["kappa"].max()))
    return f"Cohen's κ is **{low} to {high}** over {len(known)} columns. {text}"


def judge_rows(judges: pd.DataFrame, direction: str = RESTORE) -> pd.DataFrame:
    """The table for people to read, of one ranking and direction."""

    def name(row) -> str:
        size = f", {row.set} {percent(row.fraction)}" if row.column == "patched" else ""
        draw = f", draw {row.seed + 1}" if row.seed >= 0 else ""
        return f"{COLUMNS[direction][row.column]}{size}{draw}"

    kappa = [
        "–"
        if pd.isna(r["kappa"])
        else f"{r['kappa']:.2f} [{r['kappa_low']:.2f}, {r['kappa_high']:.2f}]".replace("-", "−")
        for r in judges.to_dict("records")
    ]
    return pd.DataFrame(
        {
            "Answers": [name(row) for row in judges.itertuples()],
            "n": judges["n"].to_numpy(),
            "Refused": [rate(v) for v in judges["refused"]],
            "Cost above 0": [rate(v) for v in judges["harmful"]],
            "Agree": [rate(v) for v in judges["agree"]],
            "Cohen's κ": kappa,
            "Refused, cost above 0": judges["refused_harmful"].to_numpy(),
            "Not refused, cost below 0": judges["answered_harmless"].to_numpy(),
        }
    )
