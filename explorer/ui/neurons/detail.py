"""One neuron: where it stands, how it differs between the models, what it does over words, what it writes."""

import pandas as pd
import streamlit as st

from explorer.charts.labels import ranking_label, suite_label
from explorer.charts.neuron import difference_chart, means_chart, visible, words_chart
from explorer.charts.scores import histogram_chart, score_histogram
from explorer.neurons.tables import expert_name, neuron_label
from explorer.report.neuron_query import cached_words, means, standing
from explorer.report.ranking_scores import axis, is_attribution, measure, measure_help, score_text
from explorer.report.single_neurons import alone_sentences
from explorer.report.strip import strip_html
from explorer.runs.reader import Run
from explorer.ui.current_run import change_scores, table, tensors
from explorer.ui.lab_links import lab_link
from explorer.ui.neurons.live import live_detail
from explorer.ui.study_page import has_table
from explorer.ui.typeset import COUNT, FINE_SHARE, Typeset, decimals
from explorer.ui.widgets import show_chart

OTHER = -1
"""Stands for a text that the run does not hold."""


def show_detail(run: Run, ranking: str, layer: int, neuron: int) -> None:
    """All that the run knows of a neuron, and what the models can add where they are installed."""
    changes, name = change_scores(run, ranking), neuron_label(layer, neuron)
    places = standing({r: change_scores(run, r) for r in run.rankings}, layer, neuron)
    here = places[places["ranking"] == ranking].iloc[0]
    models = means(changes, layer, neuron)
    with st.grid(4):
        st.metric("Neuron", name, border=True, help=expert_name(changes, neuron) or None)
        rank = "not ranked" if pd.isna(here["rank"]) else f"{here['rank']:,}"
        st.metric(f"Rank of {here['of']:,}", rank, border=True, help="Among all ranked neurons; 1 is the first.")
        st.metric(f"Rank of {here['of_layer']:,} in its layer", f"{here['rank_in_layer']:,}", border=True)
        score = score_text(changes, here["change_score"])
        st.metric(measure(changes), score, border=True, help=measure_help(changes))
    _show_cause(run, layer, neuron)
    lab_link("Patch this neuron", "The Patch lab with this neuron alone", set="list", neurons=f"{layer}.{neuron}")

    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**Among the neurons of layer {layer}**")
        histogram = score_histogram(changes.scores[layer], bins=40)
        mark = pd.DataFrame({"score": [here["change_score"]], "label": [name], "k": [here["rank_in_layer"]]})
        if histogram.empty:
            st.caption("No score of this layer is above 0.")
        else:
            marks = mark[mark["score"] > 0]
            show_chart(
                histogram_chart(histogram, marks, 330, axis(changes)), f"Scores of layer {layer} with {name} marked"
            )
    with right:
        st.markdown("**In every ranking**")
        shown = places.assign(
            ranking=places["ranking"].map(ranking_label),
            measure=[measure(change_scores(run, name)) for name in places["ranking"]],
        )
        numbers = Typeset(
            shown, {"rank": COUNT, "percentile": FINE_SHARE, "rank_in_layer": COUNT, "change_score": decimals(4)}
        )
        st.dataframe(
            numbers.data,
            hide_index=True,
            column_order=("ranking", "rank", "percentile", "rank_in_layer", "change_score", "measure"),
            column_config={
                "ranking": "Ranking",
                "rank": numbers.column("rank", "Rank"),
                "percentile": numbers.column(
                    "percentile", "Percentile", help="Share of the ranked neurons that stand lower."
                ),
                "rank_in_layer": numbers.column("rank_in_layer", "In layer", help="Rank in its layer."),
                "change_score": numbers.column("change_score", "Score"),
                "measure": st.column_config.TextColumn("is its", help="What the ranking's scores are."),
            },
            placeholder="not ranked",
            alt=f"The rank of {name} in every ranking of the run",
        )
        st.caption(
            f"In M1 its mean is {models['mean'].iloc[0]:.4g}, in M2 {models['mean'].iloc[1]:.4g}, over "
            f"{changes.count:,} positions."
        )
        st.markdown("**Mean activation in both models**")
        show_chart(means_chart(models), f"Mean activation of {name} in M1 and M2 with its spread")
    _show_words_and_projection(run, layer, neuron)


def _show_cause(run: Run, layer: int, neuron: int) -> None:
    """What the neuron does to the answers: its attributions with their sign, and what it does alone where measured."""
    lines = []
    for name in run.rankings:
        ranking = change_scores(run, name)
        if is_attribution(ranking):
            score, rank = float(ranking.scores[layer, neuron]), int(ranking.ranks[layer, neuron])
            side = "towards" if score > 0 else "against" if score < 0 else "neither towards nor against"
            place = f"rank {rank:,} of {len(ranking.order):,}" if rank else "not ranked"
            label = f"{ranking_label(name)}: **{score_text(ranking, score)}**, {place}"
            lines.append(f"{label}: patching it works {side} M2's answers.")
    if has_table(run, "single_neurons"):
        lines += alone_sentences(table(run, "single_neurons"), layer, neuron)
    if lines:
        st.markdown("\n".join(f"- {line}" for line in lines))


def _show_words_and_projection(run: Run, layer: int, neuron: int) -> None:
    """What the run holds; else, and for another prompt, an offer to compute it."""
    cached = {"words", "projection"} <= set(run.tables)
    texts = {**(_texts(run) if cached else {}), OTHER: "Another prompt, computed with the model"}
    st.markdown("**Over the words of a real answer**")
    text = st.selectbox(
        "Text", list(texts), format_func=texts.__getitem__, key="text", help="M1's answer, read by both models."
    )
    if text != OTHER:
        arrays = tensors(run, "words")
        words = cached_words(table(run, "words"), arrays, text, layer, neuron)
        if words is not None:
            projection = table(run, "projection")
            _show_words(words)
            _show_projection(projection[(projection["layer"] == layer) & (projection["neuron"] == neuron)])
            return
        st.caption(
            f"The run holds activations over words for {len(arrays['layers']):,} neurons of its main ranking, and not "
            f"for {neuron_label(layer, neuron)}; the models can compute them."
        )
    found = live_detail(run, layer, neuron, _prompts(run).get(text, ""))
    if found is not None:
        _show_words(found.words)
        _show_projection(found.projection)


def _show_words(words: pd.DataFrame) -> None:
    st.html(strip_html(words))
    st.caption(
        ":green-badge[higher in M2] :orange-badge[higher in M1] The stronger the colour, the larger the difference; "
        "bold is M1's answer. Hover a word for its numbers."
    )
    show_chart(words_chart(words), "The neuron's activation at every token in M1 and in M2")
    show_chart(difference_chart(words), "How much higher the neuron is in M2 than in M1 at every token")


def _show_projection(projection: pd.DataFrame) -> None:
    st.markdown("**What it writes towards the vocabulary**")
    for place, direction in zip(st.columns(2), ("promotes", "suppresses"), strict=True):
        rows = projection[projection["direction"] == direction].sort_values("place")
        numbers = Typeset(
            rows.assign(token=rows["token"].map(visible))[["place", "token", "logit"]], {"logit": decimals(2)}
        )
        place.dataframe(
            numbers.data,
            hide_index=True,
            column_config={
                "place": numbers.column("place", "", width=50),
                "token": f"Token it {direction}",
                "logit": numbers.column("logit", "Logit"),
            },
            alt=f"Tokens that the neuron {direction}",
        )
    st.caption(
        "The neuron's output weights read as a next-token guess (· is a space). Expect no readable safety words: the "
        "paper finds none in its top neurons either."
    )


def _texts(run: Run) -> dict[int, str]:
    """The run's texts, each by its prompt."""
    firsts, prompts = table(run, "words").drop_duplicates("text"), _prompts(run)
    return {
        int(text): f"{suite_label(suite)}: {prompts.get(int(text)) or prompt_id}"
        for text, suite, prompt_id in zip(firsts["text"], firsts["suite"], firsts["prompt_id"], strict=True)
    }


def _prompts(run: Run) -> dict[int, str]:
    """The prompt of each text, where the run's answers tell."""
    if not {"words", "answers"} <= set(run.tables):
        return {}
    firsts = table(run, "words").drop_duplicates("text")[["text", "suite", "prompt_id"]]
    asked = table(run, "answers").drop_duplicates(["suite", "prompt_id"])[["suite", "prompt_id", "prompt"]]
    joined = firsts.merge(asked, on=["suite", "prompt_id"])
    return {int(text): str(prompt) for text, prompt in zip(joined["text"], joined["prompt"], strict=True)}
