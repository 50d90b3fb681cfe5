"""Charts are valid Vega-Lite, small, and drawn from the right numbers."""

import json

import altair as alt
import numpy as np
import pandas as pd
import pytest

from explorer.charts import effect, matrix, neuron, overlap, reliability, scores
from explorer.neurons.overlap import layer_share, overlap_by_k, overlap_by_layer, overlap_grid
from explorer.neurons.scores import ChangeScores
from explorer.report.strip import strip_html
from explorer.runs.reader import Run, open_run

FRACTIONS = (0.05, 0.2)


@pytest.fixture(scope="module")
def run(small_run) -> Run:
    return open_run(small_run)


@pytest.fixture(scope="module")
def changes(run) -> ChangeScores:
    return run.change_scores("safety")


def _spec(chart: alt.Chart | alt.LayerChart | alt.FacetChart) -> str:
    """The chart as JSON, checked against Vega-Lite's schema."""
    return json.dumps(chart.to_dict(validate=True))


@pytest.mark.parametrize("measure", effect.MEASURES.values(), ids=lambda m: m.column)
def test_effect_lines_start_at_m1(run, measure) -> None:
    models = run.table("models")
    lines = effect.effect_frame(run.table("effect"), models, "redteam_eval", measure)
    starts = lines[lines["fraction"] == 0].set_index("series")["value"]
    m1 = models[(models["suite"] == "redteam_eval") & (models["column"] == "unpatched")].iloc[0]
    assert set(starts.index) == {"safety", "random"}
    assert (starts == (0.0 if measure.is_effect else m1[measure.column])).all()
    references = effect.reference_frame(models, "redteam_eval", measure)
    assert "Safety neurons patched" in _spec(effect.effect_chart(lines, references, measure))


def test_undefined_effects_leave_nothing_to_draw(run) -> None:
    measure = effect.MEASURES["effect_cost"]
    assert effect.effect_frame(run.table("effect"), run.table("models"), "ordinary_eval", measure).empty


def test_rates_hold_what_was_measured_at_that_fraction(run) -> None:
    rates = effect.rates_frame(run.table("models"), run.table("effect"), 0.05)
    assert set(rates.loc[rates["suite"] == "redteam_eval", "series"]) == {"unpatched", "safety", "random", "aligned"}
    assert set(rates.loc[rates["suite"] == "ordinary_eval", "series"]) == {"unpatched", "safety", "aligned"}
    assert "red-team prompts" in _spec(effect.rates_chart(rates))


def test_the_histogram_counts_every_positive_score_once() -> None:
    values = np.array([[0.0, 1e-6, 0.5], [2.0, 2.0, 0.5]], dtype=np.float32)
    histogram = scores.score_histogram(values)
    assert histogram["count"].sum() == 5
    assert scores.score_histogram(np.zeros((2, 2))).empty
    assert scores.score_histogram(np.full((2, 2), 3.0))["count"].tolist() == [4]


def test_thresholds_are_the_lowest_score_of_each_top(changes) -> None:
    marks = scores.score_thresholds(changes, (0.05, 0.2))
    for row in marks.itertuples():
        assert (changes.scores >= row.score).sum() == row.k
    assert "top 5" in _spec(scores.histogram_chart(scores.score_histogram(changes.scores), marks))


@pytest.mark.parametrize("columns", [7, 40, 192])
def test_the_map_shows_the_highest_of_its_cell(changes, columns) -> None:
    cells = scores.score_map(changes, columns)
    assert cells.groupby("layer")["score"].max().tolist() == changes.scores.max(axis=1).tolist()
    assert all(changes.scores[c.layer, c.first : c.last + 1].argmax() + c.first == c.neuron for c in cells.itertuples())
    _spec(scores.map_chart(cells))


def test_the_map_of_a_large_model_stays_small() -> None:
    large = np.random.default_rng(0).random((28, 24_576), dtype=np.float32)
    cells = scores.score_map(ChangeScores(large, 1, large, large, large, large))
    assert len(cells) <= 28 * scores.COLUMNS


def test_layer_charts_are_valid(changes) -> None:
    shares = layer_share(changes, FRACTIONS)
    _spec(scores.layer_heatmap(shares, changes.n_layers))
    assert "Neurons of the top 5" in _spec(scores.layer_bars(shares, 0.05))


def test_overlap_charts_are_valid(run, changes) -> None:
    other = run.change_scores("ordinary")
    _spec(overlap.by_size_chart(overlap_by_k(changes, other, FRACTIONS)))
    _spec(overlap.grid_chart(overlap_grid(changes, other, FRACTIONS), "A", "B"))
    layers = pd.concat([overlap_by_layer(changes, other, f).assign(fraction=f) for f in FRACTIONS])
    _spec(overlap.layer_grid_chart(layers))
    _spec(overlap.parts_chart(layers[layers["fraction"] == 0.05]))


@pytest.mark.parametrize("likeness", overlap.LIKENESSES.values(), ids=lambda m: m.column)
def test_the_matrix_can_be_clicked(likeness) -> None:
    pairs = pd.DataFrame(
        [{"a": "x", "b": "y", "a_label": "X", "b_label": "Y", "k": 5, "shared": 2, "overlap": 0.4, "chance": 0.05}]
    ).assign(ratio=8.0, spearman=float("nan"))
    assert overlap.CELL in _spec(overlap.matrix_chart(pairs, likeness, ("x", "y")))


NASTY = ["</script>", '"', "\\", "'+alert(1)+'", "\n", " a", "", "\u2028", "<b>"]


def test_tokens_stay_text_in_charts_and_in_the_strip() -> None:
    words = pd.DataFrame(
        {
            "position": range(len(NASTY)),
            "token": NASTY,
            "part": "answer",
            "m1": np.linspace(-1, 1, len(NASTY)),
            "m2": 0.5,
        }
    )
    spec = json.loads(_spec(neuron.difference_chart(words)))
    expression = spec["encoding"]["x"]["axis"]["labelExpr"]
    table = json.loads(expression.removeprefix("(").removesuffix(")[datum.label]"))
    assert list(table.values()) == [neuron.visible(token) for token in NASTY]
    _spec(neuron.words_chart(words))
    strip = strip_html(words)
    assert "<b>" not in strip
    assert "</script>" not in strip
    assert strip.count("<span") == len(NASTY)


def test_a_neuron_that_does_the_same_in_both_models_has_no_colour() -> None:
    words = pd.DataFrame({"token": ["a"], "part": ["prompt"], "m1": [1.0], "m2": [1.0]})
    assert "#D55E0000" in strip_html(words)


def test_charts_of_the_studies_are_valid() -> None:
    cells = pd.DataFrame({"a": ["x", "y"], "b": ["x", "x"], "value": [0.5, float("nan")], "n": [3, 4]})
    cells = cells.assign(x_label=cells["a"], y_label=cells["b"])
    what = matrix.Matrix("a", "b", "A", "B", "value", ".0%", (("n", "n", ","),))
    assert matrix.CELL in _spec(matrix.matrix_chart(cells, what, ("x", "x")))
    dots = pd.DataFrame({"row": ["r"], "series": ["s"], "value": [0.1], "low": [0.0], "high": [0.2], "n": [9]})
    _spec(matrix.interval_chart(dots, "Change", share=True))
    _spec(matrix.interval_chart(dots, "Change", share=False, zero=False))
    curve = pd.DataFrame({"x": [0.01, 0.1], "series": ["s", "s"], "value": [0.1, 0.2]})
    _spec(matrix.curve_chart(curve, "Size", "Overlap"))
    _spec(matrix.curve_chart(curve.assign(low=0.0, high=0.3, n=5), "Size", "Overlap", share=False, log=False))
    bins = pd.DataFrame({"series": ["s"], "predicted": [0.2], "observed": [0.3], "low": [0.1], "high": [0.5], "n": [9]})
    _spec(reliability.reliability_chart(bins))
    points = pd.DataFrame({"neuron": ["L0.1"], "x": [1], "y": [2], "series": ["neurons"]})
    _spec(matrix.scatter_chart(points, "Rank", "Rank", log=True))
