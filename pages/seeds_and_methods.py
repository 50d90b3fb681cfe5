"""Seeds and methods: do another seed and other ways find the same neurons, and how are the scores spread?"""

import streamlit as st

from explorer.charts.labels import percent, ranking_label
from explorer.charts.matrix import curve_chart, interval_chart, matrix_chart
from explorer.report import seeds_and_methods as methods
from explorer.report.other_method import identification_beside
from explorer.runs.columns import method_of
from explorer.studies.identification import identification_sentence
from explorer.studies.place import sparsity_sentence
from explorer.studies.seeds import seeds_sentence
from explorer.studies.words import method_words, spoken, usual_fraction
from explorer.ui.current_run import current_run, table
from explorer.ui.method_choice import choose_method, narrowed
from explorer.ui.seeds_and_methods import show_neurons
from explorer.ui.study_page import has_table, missing, pick, show_matrix
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
            with st.container(horizontal=True, vertical_alignment="bottom"):
                chosen = choose_method(run, seeds)
                column = pick("Measure", list(methods.LIKENESS), "likeness", methods.LIKENESS.__getitem__)
            for method, rows in {chosen.method: chosen.rows, **chosen.others}.items():
                near = methods.near(rows, usual_fraction(method))
                st.markdown(spoken(method, seeds_sentence(rows, near)))
            show_chart(
                curve_chart(
                    methods.seed_curves(chosen.rows, column), "Size of both top sets", methods.LIKENESS[column]
                ),
                "Likeness of the rankings of several seeds against the size of their top sets",
            )
            about = (
                f"Every pair of rankings of one recipe by {method_words(chosen.method)}. The paper, by change score: "
                "overlap and Spearman above 0.95 between seeds."
            )
            caption_and_csv(about, f"{run.name}-seeds.csv", lambda: seeds, "seeds_csv")
        else:
            missing(run, "rankings of several seeds", "[seeds]")
if free.open:
    with free:
        if has_table(run, "identification"):
            every = table(run, "identification")
            chosen = choose_method(run, every)
            found = narrowed(chosen.rows, "reference", "Compared with", ranking_label)
            st.markdown(spoken(chosen.method, identification_sentence(found)))
            for method, rows in chosen.others.items():
                st.markdown(identification_beside((method, rows)))
            show_chart(
                interval_chart(methods.identification_frame(found), "Causal effect (share of the gap)", share=True),
                "Causal effect of the top neurons of rankings with and without an aligned model",
            )
            first = found.iloc[0]
            caption_and_csv(
                f"Compared with the ranking by {method_words(chosen.method)}; patched with M2's activations, "
                f"{percent(first['fraction'])} of the neurons, n = {int(first['n']):,}, up to "
                f"{int(first['max_new_tokens'])} tokens an answer. The paper leaves these methods open.",
                f"{run.name}-identification.csv",
                lambda: every,
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
            names = sorted(dict.fromkeys(sparsity["ranking"]), key=lambda name: name != run.main_ranking)
            ranking = pick("Ranking", names, "ranking", ranking_label)
            method = method_of(run.manifest["rankings"].get(ranking, {}))
            alike = [n for n in names if method_of(run.manifest["rankings"].get(n, {})) == method]
            st.markdown(spoken(method, sparsity_sentence(sparsity, ranking, method_words(method))))
            show_chart(
                curve_chart(
                    methods.energy(sparsity[sparsity["ranking"].isin(alike)]),
                    "Size of the top set",
                    "Share of the squared scores it holds",
                ),
                f"How much of the sum of squared scores the top sets hold, for every ranking by {method_words(method)}",
            )
            caption_and_csv(
                f"Every ranking by {method_words(method)}. An even spread would hold as much as its size.",
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
                    methods.PLACE,
                    (layer, group),
                ),
                "place_matrix",
                {"layer": "layer", "group": "group"},
                "Where groups of ranks lie by layer",
            )
            caption_and_csv(
                "Of each group of ranks, the share in each layer.", f"{run.name}-place.csv", lambda: shown, "place_csv"
            )
            st.header(f"Neurons of layer {layer}, {methods.group_label(shown, group)}")
            show_neurons(run, ranking, shown, layer, group)
        else:
            missing(run, "the spread of its scores", "[rankings.NAME]")
