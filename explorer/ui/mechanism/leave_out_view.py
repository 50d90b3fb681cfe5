"""One at a time: each of the top neurons left out of the set, beside what each does alone."""

import streamlit as st

from explorer.charts.labels import suite_label
from explorer.charts.matrix import interval_chart
from explorer.report import leave_out
from explorer.runs.reader import Run
from explorer.studies import STUDIES
from explorer.ui.current_run import table
from explorer.ui.study_page import has_table
from explorer.ui.typeset import COUNT, P_VALUE, SHARE, Typeset, decimals
from explorer.ui.widgets import caption_and_csv, say, show_chart

_FORMS = {
    "rank": COUNT,
    "loss": decimals(3),
    "loss_low": decimals(3),
    "loss_high": decimals(3),
    "p_holm": P_VALUE,
    "refusal": SHARE,
    "refusal_change": SHARE,
}


def show(run: Run) -> None:
    """The section of the Mechanism page."""
    frame = table(run, "leave_out")
    say(STUDIES["leave_out"].finding({"leave_out": frame}))
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
    numbers = Typeset(leave_out.neuron_rows(frame), _FORMS)
    st.dataframe(
        numbers.data,
        hide_index=True,
        height=320,
        alt="Neurons of the set by what is lost without them",
        column_config={
            "rank": numbers.column("rank", "Rank"),
            "neuron": st.column_config.TextColumn("Neuron"),
            "loss": numbers.column("loss", "Margin lost (nats)"),
            "loss_low": numbers.column("loss_low", "95 % from"),
            "loss_high": numbers.column("loss_high", "to"),
            "p_holm": numbers.column("p_holm", "p (Holm)"),
            "refusal": numbers.column("refusal", "Refusals without it"),
            "refusal_change": numbers.column("refusal_change", "Change"),
            "page": st.column_config.LinkColumn("Look at it", display_text="Neurons", width="small"),
        },
    )
