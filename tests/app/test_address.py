"""One set of names in the addresses of all pages, and one sentence for what makes no sense."""

import pytest

OVERVIEW, NEURONS, CAUSAL, OVERLAP = (
    f"pages/{name}.py" for name in ("overview", "neurons", "causal_effect", "overlap")
)


@pytest.mark.parametrize(("file", "key"), [(OVERVIEW, "share"), (CAUSAL, "patched")])
@pytest.mark.parametrize("asked", ["0.2", "0.19", "20%", "20 %", "20\u00a0%"])
def test_a_fraction_is_the_same_word_on_every_page(runs, open_page, file, key, asked) -> None:
    app = open_page(file, fraction=asked)
    assert app.select_slider(key=key).value == 0.2
    assert not app.warning
    app.run()
    assert app.select_slider(key=key).value == 0.2
    app.select_slider(key=key).set_value(0.05).run()
    assert app.select_slider(key=key).value == 0.05


def test_a_ranking_and_a_suite_are(runs, open_page) -> None:
    assert open_page(NEURONS, ranking="ordinary").selectbox(key="rank_by").value == "ordinary"
    assert open_page(OVERLAP, ranking="ordinary").selectbox(key="a").value == "ordinary"
    assert open_page(OVERVIEW, suite="borderline_eval").selectbox(key="prompts").value == "borderline_eval"


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        (OVERVIEW, "fraction", "2"),
        (OVERVIEW, "share", "7%"),
        (OVERVIEW, "suite", "<b>"),
        (NEURONS, "ranking", "none"),
        (OVERLAP, "b", "none"),
        (OVERLAP, "top", "lots"),
        (CAUSAL, "score", "none"),
    ],
)
def test_what_is_not_offered_is_said(runs, open_page, file, name, value) -> None:
    app = open_page(file, **{name: value})
    assert [f"asks for {name} “" in w.value.replace("\\", "") for w in app.warning] == [True]
