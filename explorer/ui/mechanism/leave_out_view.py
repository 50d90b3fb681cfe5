"""One at a time: each of the top neurons left out of the set, beside what each does alone."""

import streamlit as st

from explorer.charts.labels import suite_label
from explorer.charts.matrix import interval_chart
from explorer.report import leave_out
from explorer.runs.reader import Run
from explorer.studies import STUDIES
from explorer.ui.current_run import table
from explorer.ui.study_page import has_table
from explorer.ui.widgets import caption_and_csv, show_chart


def show(run: Run) -> None:
    """The section of the Mechanism page."""
    frame = table(run, "leave_out")
    st.markdown(STUDIES["leave_out"].finding({"leave_out": frame}))
    alone = table(run, "single_neurons") if has_table(run, "single_neurons") else None
    changes, first = leave_out.change_frame(frame, alone), frame.iloc[0]
    chart = interval_chart(changes, "Margin of M2's answer over M1's, nats a prompt", share=False)
    show_chart(
        chart.properties(height=60 + 26 * changes["row"].nunique()),
        "What the margin loses without each neuron of the set, and gains by each alone",
    )
    caption_and_csv(
        f"On {suite_label(first['suite'])}, n = {int(first['n']):,}, answers of up to {int(first['max_new_tokens'])} "
        "tokens; bars are 95 % intervals, not corrected for the number of neurons. Rank and neuron stand at the left.",
        f"{run.name}-leave-out.csv",
        lambda: frame,
        "leave_out_csv",
    )
    st.header("The neurons behind it")
    st.dataframe(
        leave_out.neuron_rows(frame),
        hide_index=True,
        height=320,
        alt="Neurons of the set by what is lost without them",
        column_config={
            "rank": st.column_config.NumberColumn("Rank"),
            "neuron": st.column_config.TextColumn("Neuron"),
            "loss": st.column_config.NumberColumn("Margin lost (nats)", format="%.3f"),
            "loss_low": st.column_config.NumberColumn("95 % from", format="%.3f"),
            "loss_high": st.column_config.NumberColumn("to", format="%.3f"),
            "p_holm": st.column_config.NumberColumn("p (Holm)", format="%.3g"),
            "refusal": st.column_config.NumberColumn("Refusals without it", format="percent"),
            "refusal_change": st.column_config.NumberColumn("Change", format="percent"),
            "page": st.column_config.LinkColumn("Look at it", display_text="Neurons", width="small"),
        },
    )
