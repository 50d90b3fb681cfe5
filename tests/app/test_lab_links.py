"""Ways to the Patch lab from other pages, and the overlap of the neurons that are patched there."""

import json

import pytest

from explorer.charts.patched_overlap import patched_overlap_chart
from explorer.neurons.overlap import shared_by_layer
from explorer.report.patched_overlap import compared, layer_cells, sharing_words
from explorer.runs.reader import open_run

PATCH_LAB, NEURONS, OVERLAP = "pages/patch_lab.py", "pages/neurons.py", "pages/overlap.py"


def links(app) -> dict[str, str]:
    """The page's links to the lab: their query by their label."""
    return {e.proto.label: e.proto.query_string for e in app.get("page_link") if e.proto.page == "patch_lab"}


def words(app) -> str:
    return " ".join(m.value for m in app.markdown).replace("\u00a0", " ")


def test_the_overlap_of_what_is_patched_follows_the_slider_and_the_part(runs, open_page) -> None:
    app = open_page(PATCH_LAB, fraction="0.05")
    assert "Of the **12** neurons now patched" in words(app)
    app.select_slider(key="patch_fraction").set_value(0.2).run()
    assert "Of the **48** neurons now patched" in words(app)
    whole = 48
    app.segmented_control(key="patch_part").set_value("shared").run()
    assert app.query_params["part"] == "shared"
    shared = int(words(app).split("Of the **")[1].split("**")[0])
    app.segmented_control(key="patch_part").set_value("without").run()
    assert int(words(app).split("Of the **")[1].split("**")[0]) == whole - shared
    assert not app.exception


def test_a_run_with_one_ranking_has_nothing_to_share(tmp_path, monkeypatch, open_page) -> None:
    from tests.app.small_run import write_small_run

    write_small_run(tmp_path / "alone", rankings=("safety",))
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    app = open_page(PATCH_LAB)
    assert "now patched" not in words(app)
    assert not app.error or all("not installed" in e.value for e in app.error)


def test_a_neuron_and_a_list_lead_to_the_lab(runs, open_page) -> None:
    app = open_page(NEURONS, neuron="2.7")
    assert links(app)["Patch this neuron"] == "set=list&neurons=2.7"
    app.number_input(key="to").set_value(3).run()
    assert links(app)["Patch them"].count(".") == 3
    app.number_input(key="to").set_value(100).run()
    app.button(key="list_to_lab").click().run()
    app.switch_page(PATCH_LAB).run()  # the harness does not follow the page's own switch
    assert app.title[0].value == "What do these neurons change?"
    assert app.selectbox(key="patch_kind").value == "list"
    assert app.text_area(key="patch_neurons").value.count(".") == 100


def test_two_rankings_lead_to_the_lab_in_three_parts(runs, open_page) -> None:
    found = links(open_page(OVERLAP, top="20%"))
    query = found["Patch what both hold"]
    assert [part in query for part in ("ranking=safety", "with=", "part=shared", "fraction=0.2")] == [True] * 4
    assert "part=without" in found["Patch what only A holds"]
    app = open_page(PATCH_LAB, **dict(pair.split("=") for pair in query.split("&")))
    assert app.segmented_control(key="patch_part").value == "shared"


@pytest.mark.parametrize("kind", ["top", "list"])
def test_cells_sentence_and_chart(small_run, kind) -> None:
    run = open_run(small_run)
    ns = run.ranking("safety").top(24)
    names = compared(run, "safety", kind)
    assert ("safety" in names) == (kind == "list")
    cells = shared_by_layer(ns, {name: run.ranking(name) for name in names})
    drawn = layer_cells(cells)
    assert drawn["patched"].min() > 0
    said = sharing_words(cells, len(ns)).replace("\u00a0", " ")
    assert "Of the **24** neurons now patched" in said
    assert said.endswith("by chance it would be 10 %.")
    json.dumps(patched_overlap_chart(drawn, run.n_layers).to_dict(validate=True))
