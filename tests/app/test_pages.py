"""Each page opens, says what it is, and shows what it should; `test_words` opens each on the run that ships."""

import hashlib
import json
import shutil

import pandas as pd
import pytest

from tests.app.small_run import write_small_run

OVERVIEW, NEURONS, PATCH_LAB, OVERLAP = (f"pages/{name}.py" for name in ("overview", "neurons", "patch_lab", "overlap"))

# page, query, heading, and how many elements of each kind there are at least
TABLE = [
    (OVERVIEW, {}, "Do a few neurons carry this model's safety?", {"metric": 4, "vega_lite_chart": 2, "page_link": 3}),
    (OVERVIEW, {"measure": "Cost"}, "Do a few neurons", {"vega_lite_chart": 2}),
    (OVERVIEW, {"measure": "Effect on refusals"}, "Do a few neurons", {"vega_lite_chart": 2}),
    (NEURONS, {}, "Which neurons change most?", {"metric": 4, "dataframe": 4, "vega_lite_chart": 4}),
    (NEURONS, {"view": "Distribution"}, "Which neurons", {"vega_lite_chart": 5}),
    (NEURONS, {"view": "Layers"}, "Which neurons", {"vega_lite_chart": 6}),
    (NEURONS, {"view": "Map"}, "Which neurons", {"vega_lite_chart": 5}),
    (PATCH_LAB, {}, "What do these neurons change?", {"button": 2}),
    (OVERLAP, {}, "How alike are two rankings?", {"metric": 4, "selectbox": 2, "vega_lite_chart": 2}),
    (OVERLAP, {"compare": "Size by size"}, "How alike", {"vega_lite_chart": 2}),
    (OVERLAP, {"compare": "By layer"}, "How alike", {"vega_lite_chart": 3}),
    (OVERLAP, {"compare": "Where A lies"}, "How alike", {"vega_lite_chart": 2}),
]


@pytest.mark.parametrize(("file", "query", "heading", "least"), TABLE)
def test_a_page_shows_its_heading_and_widgets(runs, open_page, file, query, heading, least) -> None:
    app = open_page(file, **query)
    assert app.title[0].value.startswith(heading)
    assert [e.value for e in app.error if "not installed" not in e.value] == []
    assert {kind: len(app.get(kind)) >= number for kind, number in least.items()} == dict.fromkeys(least, True)


def test_the_headline_is_computed_from_the_run(runs, open_page) -> None:
    app = open_page(OVERVIEW)
    sentence = app.markdown[0].value.replace("\u00a0", " ")
    for part in (
        "240 neurons",
        "**12** top-ranked ones (5 %) raises refusals",
        "**10 %** to **30 %**",
        "**14 %**",
        "**90 %**",
    ):
        assert part in sentence
    assert "n = 12 prompts, up to 16 tokens" in sentence
    judged = next(m.value for m in app.markdown if "of the gap in refusals" in m.value)  # in the expander under it
    assert "of the gap in cost" in judged


def test_the_overview_follows_its_slider(runs, open_page) -> None:
    app = open_page(OVERVIEW)
    app.select_slider(key="share").set_value(0.2).run()
    assert "to **90\u00a0%**" in app.markdown[0].value
    assert app.metric[1].value == "90\u00a0%"


def test_random_neurons_of_another_size_are_said_to_be(small_run, tmp_path, monkeypatch, open_page) -> None:
    folder = tmp_path / "sparse"
    shutil.copytree(small_run, folder)
    file = folder / "tables" / "effect.parquet"
    effect = pd.read_parquet(file)
    effect[(effect["set"] != "random") | (effect["fraction"] == 0.2)].to_parquet(file)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["tables/effect.parquet"] = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    app = open_page(OVERVIEW)
    assert app.metric[2].label == "20\u00a0% random neurons, the nearest measured"
    assert app.metric[2].value == "26\u00a0%"
    assert "random neurons of the same layers: **" not in app.markdown[0].value
    app.select_slider(key="share").set_value(0.2).run()
    assert app.metric[2].label == "As many random neurons"


def test_the_origins_are_told_when_they_are_asked_for(runs, open_page) -> None:
    app = open_page(OVERVIEW)
    assert len(app.dataframe) == 0
    app.session_state["origins"] = True
    app.run()
    assert [len(frame.value) > 0 for frame in app.dataframe] == [True] * 6


def test_an_undefined_effect_is_said_not_drawn(runs, open_page) -> None:
    app = open_page(OVERVIEW, measure="Effect on refusals", prompts="ordinary prompts")
    assert len(app.get("vega_lite_chart")) == 1
    assert "not defined on ordinary prompts" in app.info[0].value


def test_the_list_is_filtered_and_sorted(runs, open_page) -> None:
    app = open_page(NEURONS)
    app.multiselect(key="layers").set_value([2, 3])
    app.selectbox(key="sort").set_value("mean_m2")
    app.toggle(key="descending").set_value(True).run()
    rows = app.dataframe[0].value
    assert len(rows) == 80
    assert set(rows["layer"]) == {2, 3}
    assert rows["mean_m2"].is_monotonic_decreasing


def test_the_address_names_a_size(runs, open_page) -> None:
    assert open_page(OVERLAP, top="20%").select_slider(key="top").value == 0.2


def test_the_address_names_a_neuron(runs, open_page) -> None:
    app = open_page(NEURONS, neuron="2.7")
    assert app.metric[0].value == "L2.7"


def test_a_neuron_that_the_run_does_not_hold_is_offered_to_the_models(runs, open_page) -> None:
    app = open_page(NEURONS)
    last = app.number_input(key="from").set_value(240).run().dataframe[0].value["neuron"].iloc[0]
    app.text_input(key="neuron").set_value(last).run()
    assert [b.label for b in app.button if "Compute" in b.label] == ["Compute with the model"]
    assert not app.exception


def test_another_prompt_can_be_computed(runs, open_page) -> None:
    app = open_page(NEURONS)
    app.selectbox(key="text").set_value(-1).run()
    assert [b.label for b in app.button if "Compute" in b.label] == ["Compute with the model"]
    next(b for b in app.button if "Compute" in b.label).click().run()
    assert ["empty" in e.value for e in app.error] == [True]


def test_one_ranking_alone_can_be_explored(tmp_path, monkeypatch, open_page) -> None:
    write_small_run(tmp_path / "alone", rankings=("safety",))
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    app = open_page(OVERLAP)
    assert app.metric[0].value == "100\u00a0%"
    assert not app.error


def test_several_runs_give_a_choice(small_run, tmp_path, monkeypatch, open_page) -> None:
    for name in ("first", "second"):
        shutil.copytree(small_run, tmp_path / name)
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    app = open_page(OVERVIEW, run="second")
    assert app.sidebar.selectbox(key="run").value == "second"


def test_text_from_models_is_never_markdown(runs, open_page) -> None:
    app = open_page(OVERVIEW)
    shown = [element.value for element in app.text]
    assert any("# no heading" in text for text in shown)
    assert not any("# no heading" in element.value for element in (*app.markdown, *app.caption))
