"""The part of the Mechanism page on paths."""

from tests.app.small_paths import path_tables

PAGE, PART = "pages/mechanism.py", {"part": "paths"}


def test_the_finding_comes_first_and_charts_follow(runs, open_page) -> None:
    app = open_page(PAGE, **PART)
    assert app.markdown[0].value.startswith("The top 5\u00a0% by change score act **by no single path")
    said = " ".join(m.value for m in app.markdown[1:]).replace("\u00a0", " ")
    assert said.startswith("Patching the top 5 % by change score (12 neurons) raises the refusal margin")
    assert "**20 %** (5–35 %) directly, **40 %** (25–55 %) through attention" in said
    assert "n = 12" in said
    assert "16 tokens" in said
    assert "Random neurons of the same layers change it by **+0.10** logits (−0.05 to +0.25), not" in said
    assert [len(app.get(kind)) for kind in ("plotly_chart", "vega_lite_chart")] == [1, 3]
    assert len(app.dataframe[0].value) == 3


def test_a_head_is_told_in_words_and_its_attention_shown_where_it_is_held(runs, open_page) -> None:
    app = open_page(PAGE, **PART, path_set="Top neurons by change score", path_layer="5", path_head="0")
    assert any("head 0 of layer 5" in m.value and "patching acts through it" in m.value for m in app.markdown)
    assert any(c.value.endswith("5.1.") for c in app.caption)
    app = open_page(PAGE, **PART, path_set="Top neurons by change score", path_layer="5", path_head="1")
    assert any("higher without its change" in m.value for m in app.markdown)
    assert any(c.value.startswith("From the prompt's last token") for c in app.caption)
    assert len(app.get("vega_lite_chart")) == 4


def test_another_set_measure_and_restriction_can_be_chosen(runs, open_page) -> None:
    app = open_page(PAGE, **PART, path_set="random")
    app.selectbox(key="path_measure").set_value("margin").run()
    app.selectbox(key="path_kept").set_value("everything").run()
    assert app.selectbox(key="path_set").value == "random"
    assert set(app.dataframe[0].value["margin"].round(3)) == {round(0.1 * 0.2, 3)}


def test_a_change_that_cannot_be_told_from_none_has_no_shares() -> None:
    from explorer.studies.paths import Paths

    said = Paths().finding(path_tables(whole=0.05))
    assert "does not distinguishably change" in said
    assert "%** (" not in said
