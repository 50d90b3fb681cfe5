"""The Neurons page on rankings by attribution: words, the comparison of two rankings, and single neurons."""

import numpy as np
import pytest

from explorer.charts.ranks import MOST, PARTS, layers_chart, rank_figure, rank_points
from explorer.charts.spread import spread_chart
from explorer.neurons.scores import ChangeScores
from explorer.report import single_neurons
from explorer.report.ranking_names import counterpart, ranking_title
from explorer.runs.reader import open_run
from explorer.studies.single_neurons import summary
from tests.app.small_run import write_small_run

NEURONS = "pages/neurons.py"


@pytest.fixture(scope="module")
def cause_run(tmp_path_factory):
    """A run whose main ranking is by attribution."""
    folder = tmp_path_factory.mktemp("cause") / "small"
    return write_small_run(folder, rankings=("attribution", "safety"), main="attribution")


@pytest.fixture
def cause(cause_run, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(cause_run.parent))
    return open_run(cause_run)


@pytest.mark.parametrize("view", ["List", "Both rankings", "One by one", "Distribution", "Layers", "Map"])
def test_every_view_opens_on_attributions(cause, open_page, view) -> None:
    app = open_page(NEURONS, view=view)
    assert app.selectbox(key="rank_by").value == "attribution"
    assert app.title[0].value == "Which neurons matter most?"
    assert not app.error
    assert app.metric[3].label == "Attribution"
    assert app.metric[3].value.endswith(" nats")


def test_a_run_that_names_no_main_ranking_begins_with_the_papers(tmp_path, monkeypatch, open_page) -> None:
    write_small_run(tmp_path / "silent", rankings=("attribution", "safety"), studies=False)
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    assert open_page(NEURONS).selectbox(key="rank_by").value == "safety"


def test_change_scores_keep_their_words(cause, open_page) -> None:
    app = open_page(NEURONS, rank_by="Safety")
    assert app.title[0].value == "Which neurons change most?"
    assert app.metric[3].label == "Change score"


def test_a_neuron_shows_its_sign_and_what_it_does_alone(cause, open_page) -> None:
    ranking = cause.ranking("attribution")
    lowest, first = ranking.order[-1], ranking.order[0]
    app = open_page(NEURONS, neuron=f"{lowest // 40}.{lowest % 40}")
    said = next(m.value for m in app.markdown if "works" in m.value)
    assert "**−" in said
    assert "rank 240 of 240: patching it works against M2's answers" in said
    app.text_input(key="neuron").set_value(f"{first // 40}.{first % 40}").run()
    said = next(m.value for m in app.markdown if "works" in m.value)
    assert "works towards" in said
    assert "M2's activation patched into M1**: the margin of M2's answer over M1's changes by **+1.00** nats" in said
    assert "M1's activation patched into M2**" in said
    assert "refusals 10\u00a0% → 20\u00a0%" in said


def test_both_rankings_stand_side_by_side(cause, open_page) -> None:
    app = open_page(NEURONS, view="Both rankings", both_top="20%")
    assert app.selectbox(key="beside").value == "safety"
    assert len(app.get("plotly_chart")) == 1
    both = len(cause.ranking("attribution").top(fraction=0.2) & cause.ranking("safety").top(fraction=0.2))
    assert any(f"{both} stand in the top set of both" in c.value for c in app.caption)


def test_one_ranking_alone_has_none_beside_it(tmp_path, monkeypatch, open_page) -> None:
    write_small_run(tmp_path / "alone", rankings=("safety",), studies=False)
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    assert "has one ranking" in open_page(NEURONS, view="Both rankings").info[0].value
    assert "`[single_neurons]`" in open_page(NEURONS, view="One by one").info[0].value


@pytest.mark.parametrize(
    "query",
    [
        {"view": "Both rankings", "beside": "none", "both_top": "7"},
        {"view": "Both rankings", "beside": "attribution", "both_top": "<b>"},
        {"view": "One by one", "single_ranking": "none", "single_measure": "none"},
    ],
)
def test_what_an_address_cannot_mean_is_left_out(cause, open_page, query) -> None:
    app = open_page(NEURONS, **query)
    assert not app.error
    assert not app.exception


def test_points_are_the_ranks_and_parts_of_both_rankings(cause) -> None:
    x, y = cause.ranking("attribution"), cause.ranking("safety").without_layers(5)
    points = rank_points(x, y, 0.1)
    assert len(points) == 200
    assert (points["x"] == x.ranks[points["layer"], points["neuron"]]).all()
    assert (points["score_y"] == y.scores[points["layer"], points["neuron"]]).all()
    assert (points["part"] == "both").sum() == len(x.top(fraction=0.1) & y.top(fraction=0.1))
    figure = rank_figure(points, "X", "Y")
    assert {trace.type for trace in figure.data} == {"scattergl"}
    assert sum(len(trace.x) for trace in figure.data) == 200


def test_a_large_model_is_thinned() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.random((28, 8_192), dtype=np.float32) for _ in range(2)]
    x, y = (ChangeScores(a, 1, a, a, a, a) for a in arrays)
    points = rank_points(x, y, 0.2)
    assert MOST / 2 < len(points) <= MOST
    assert set(points["part"]) == set(PARTS)


def test_single_neurons_are_told_in_words(cause) -> None:
    table = cause.whole_table("single_neurons")
    text = summary(table)
    assert "**2 of 3** raise the margin of M2's answer over M1's patched into M1 alone (+0.61 nats [" in text
    assert "**2 of 3** lower the margin of M2's answer over M1's taken from M2 alone (" in text
    assert "(**−1.00** nats a prompt, −1.40 to −0.60) taken from M2." in text
    assert "n = 12" in text
    assert "Random neurons were not patched alone" in text
    beside = cause.whole_table("single_beside")
    text = summary(table, beside)
    assert "on average), beside **1 of 3** random neurons of the same layers (+0.20 nats [" in text
    assert ", beside **1 of 3** random neurons of the same layers (−0.20 nats [" in text
    assert "not patched alone" not in text
    spread = single_neurons.spread_frame(table, beside)
    assert spread["set"].unique().tolist() == ["Top by attribution", "Random neurons, same layers"]
    assert len(spread) == 12
    assert spread_chart(spread, "nats").to_dict()["layer"][1]["mark"]["type"] == "tick"
    frame = single_neurons.change_frame(table, "margin")
    assert frame["row"].tolist()[0] == frame["row"].tolist()[1]
    assert single_neurons.measures_of(table.assign(cost_change=float("nan"))) == ["margin", "refusal_change"]


def test_the_other_ranking_is_of_the_same_models_by_the_other_method() -> None:
    rankings = {
        "safety": {"kind": "change", "meta": {}},
        "ordinary": {"kind": "change", "meta": {}},
        "helpful": {"meta": {"adapter": "helpful"}},
        "attribution": {"kind": "attribution", "meta": {"method": "attribution"}},
        "attribution_helpful": {"kind": "attribution", "meta": {"adapter": "helpful"}},
    }
    pairs = {name: counterpart(name, rankings) for name in rankings}
    assert pairs["safety"] == "attribution"
    assert pairs["attribution"] == "safety"
    assert (pairs["helpful"], pairs["attribution_helpful"]) == ("attribution_helpful", "helpful")
    assert counterpart("safety", {"safety": {}}) == "safety"
    assert ranking_title("safety", rankings) == "Change score (paper)"
    assert ranking_title("attribution", rankings) == "Attribution"


def test_the_layers_of_both_are_a_valid_chart(cause) -> None:
    from explorer.neurons.overlap import layer_share

    shares = layer_share(cause.ranking("safety"), [0.1]).assign(series="Safety")
    assert "xOffset" in str(layers_chart(shares, 0.1).to_dict(validate=True))
