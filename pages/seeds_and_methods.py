"""Seeds and methods: do another seed and other ways find the same neurons, and how are the scores spread?"""

import streamlit as st

from explorer.charts.labels import percent, ranking_label
from explorer.charts.matrix import Matrix, curve_chart, interval_chart, matrix_chart
from explorer.ui import findings, methods
from explorer.ui.runs import current_run, table
from explorer.ui.studies import has_table, missing, pick, show_matrix
from explorer.ui.widgets import caption_and_csv, show_chart

run = current_run()
st.title("Do other seeds and other methods find the same neurons?")
with_seeds, free, spread = st.tabs(
    ["Seeds", "Without an aligned model", "Sparsity and place"], key="view", bind="query-params"
)
if with_seeds.open:
    with with_seeds:
        if has_table(run, "seeds"):
            seeds = table(run, "seeds")
            st.markdown(findings.seeds_sentence(seeds, methods.near(seeds, 0.05)))
            column = pick("Measure", list(methods.LIKENESS), "likeness", methods.LIKENESS.__getitem__)
            show_chart(
                curve_chart(methods.seed_curves(seeds, column), "Size of both top sets", methods.LIKENESS[column]),
                "Likeness of the rankings of several seeds against the size of their top sets",
            )
            about = "Every pair of rankings of one recipe. The paper: overlap and Spearman above 0.95 between seeds."
            caption_and_csv(about, f"{run.name}-seeds.csv", lambda: seeds, "seeds_csv")
        else:
            missing(run, "rankings of several seeds", "[seeds]")
if free.open:
    with free:
        if has_table(run, "identification"):
            found = table(run, "identification")
            st.markdown(methods.identification_sentence(found))
            show_chart(
                interval_chart(methods.identification_frame(found), "Causal effect (share of the gap)", share=True),
                "Causal effect of the top neurons of rankings with and without an aligned model",
            )
            first = found.iloc[0]
            caption_and_csv(
                f"Patched with M2's activations, {percent(first['fraction'])} of the neurons, n = {int(first['n']):,}, "
                f"up to {int(first['max_new_tokens'])} tokens an answer. The paper leaves these methods open.",
                f"{run.name}-identification.csv",
                lambda: found,
                "identification_csv",
            )
            st.dataframe(
                methods.likeness_rows(found), hide_index=True, alt="Overlap and rank correlation with our ranking"
            )
        else:
            missing(run, "rankings that need no aligned model", "[identification]")
if spread.open:
    with spread:
        if has_table(run, "sparsity") and has_table(run, "place"):
            sparsity, place = table(run, "sparsity"), table(run, "place")
            ranking = pick("Ranking", list(dict.fromkeys(sparsity["ranking"])), "ranking", ranking_label)
            st.markdown(methods.sparsity_sentence(sparsity, ranking))
            show_chart(
                curve_chart(methods.energy(sparsity), "Size of the top set", "Share of the squared scores it holds"),
                "How much of the whole change the top sets hold, for every ranking",
            )
            caption_and_csv(
                "An even spread would hold as much as its size.",
                f"{run.name}-sparsity.csv",
                lambda: sparsity,
                "sparse_csv",
            )
            shown = methods.place_frame(place, ranking)
            group = pick("Ranks", list(dict.fromkeys(shown["group"])), "group", lambda g: methods.group_label(shown, g))
            layer = pick("Layer", list(dict.fromkeys(shown["layer"])), "layer", str, 160)
            show_matrix(
                matrix_chart(
                    shown,
                    Matrix(
                        "layer",
                        "group",
                        "Layer",
                        "Ranks",
                        "share",
                        ".0%",
                        (("neurons", "Neurons", ","), ("even", "An even spread", ".1%")),
                    ),
                    (layer, group),
                ),
                "place_matrix",
                {"layer": "layer", "group": "group"},
                "Where groups of ranks lie by layer",
            )
            caption_and_csv(
                "Of each group of ranks, the share in each layer.", f"{run.name}-place.csv", lambda: shown, "place_csv"
            )
            st.subheader(f"Neurons of layer {layer}, {methods.group_label(shown, group)}")
            methods.show_neurons(run, ranking, shown, layer, group)
        else:
            missing(run, "the spread of its scores", "[rankings.NAME]")
