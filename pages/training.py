"""Training: when safety neurons appear along the checkpoints of M2's training, and what they restore then."""

import streamlit as st

from explorer.charts.checkpoints import likeness_chart, refusal_chart
from explorer.charts.labels import percent
from explorer.report.facts import nearest
from explorer.report.other_method import series_beside
from explorer.studies.series import series_sentence
from explorer.studies.words import method_words, spoken, usual_fraction
from explorer.ui.current_run import current_run, table
from explorer.ui.method_choice import choose_method
from explorer.ui.widgets import caption_and_csv, choose_fraction, show_chart

run = current_run()
st.title("When do safety neurons appear?")
if "series" not in run.tables:
    st.markdown(
        "This run holds no checkpoints of a training. List them under `[series]` in its pair file, add `[series]` to "
        "its build file, and build it again; `docs/own_models.md` tells how."
    )
    st.stop()

series = table(run, "series")
chosen = choose_method(run, series)
fractions = sorted(chosen.rows["fraction"].unique().tolist())
usual = nearest(fractions, usual_fraction(chosen.method))
top = choose_fraction("Size of the top sets (% of all neurons)", fractions, usual, "top") if fractions[1:] else usual
here = chosen.rows[chosen.rows["fraction"] == top]
st.markdown(spoken(chosen.method, series_sentence(here)))
for method, rows in chosen.others.items():
    st.markdown(series_beside((method, rows), usual_fraction(method)))
show_chart(likeness_chart(here), "Overlap and rank correlation of each checkpoint's top set with the last one's")
caption_and_csv(
    f"Each checkpoint is ranked by itself, by {method_words(chosen.method)}, on the same prompts; top {percent(top)}. "
    "The last step is compared with itself.",
    f"{run.name}-series.csv",
    lambda: series,
    "series_csv",
)
show_chart(refusal_chart(here), "Refusals of M1, of M1 patched with the checkpoint's neurons, and of the checkpoint")
st.caption(
    f"At each step its own top set is patched with its own activations. n = {int(here['n'].iloc[0])} prompts, up to "
    f"{int(here['max_new_tokens'].iloc[0])} tokens an answer; bands are 95 % intervals over prompts."
)
