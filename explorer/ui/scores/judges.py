"""How far the two judges agree, on the Scores page."""

import streamlit as st

from explorer.charts.labels import suite_label
from explorer.report.by import RESTORE
from explorer.report.judges import judge_rows, judges_sentence
from explorer.report.results import DIRECTION, directions_of, of_ranking, table_of
from explorer.runs.reader import Run
from explorer.ui.current_run import table
from explorer.ui.result_controls import choose_direction, choose_ranking
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
