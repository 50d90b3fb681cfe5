"""Pages of the studies on a run that was really built by two rankings: both are told, each by its name."""

import re

import pytest

from explorer.paths import PROJECT
from explorer.report.ranking_names import method_label

OVERLAP, TRANSFER, SAFEGUARD, METHODS, TRAINING = (
    f"pages/{name}.py" for name in ("overlap", "transfer", "safeguard", "seeds_and_methods", "training")
)
TAX, APART = {"part": "Alignment tax"}, {"part": "Ablation"}
FREE = {"view": "Without an aligned model"}
CAUSE, CHANGE = "Attribution", "Change score (paper)"

PAGES = [
    (TRANSFER, {}),
    (TRANSFER, {"between": "categories of harm"}),
    (SAFEGUARD, {}),
    (METHODS, {}),
    (METHODS, FREE),
    (TRAINING, {}),
    (OVERLAP, TAX),
    (OVERLAP, APART),
]


def _said(app) -> str:
    return "\n".join(m.value for m in app.markdown).replace("\u00a0", " ")


def _control(app):
    return next(c for c in app.segmented_control if c.key == "method")


@pytest.mark.parametrize(("file", "query"), PAGES)
def test_a_page_begins_with_the_main_ranking_and_tells_of_the_other(two_methods, open_page, file, query) -> None:
    app = open_page(file, **query)
    assert [e.value for e in app.error] + [w.value for w in app.warning] == []
    control = _control(app)
    assert (control.label, control.value) == ("Ranking", "attribution")
    assert control.options == [CAUSE, CHANGE]
    said = _said(app)
    assert said.index("**By attribution.**") < said.index("**By change score.**")


@pytest.mark.parametrize(("file", "query"), PAGES)
def test_a_page_follows_the_address_by_name_and_by_label(two_methods, open_page, file, query) -> None:
    for asked in ("contrast", CHANGE):
        app = open_page(file, **query, method=asked)
        assert [w.value for w in app.warning] == []
        assert _control(app).value == "contrast"
        assert _said(app).index("**By change score.**") < _said(app).index("**By attribution.**")


@pytest.mark.parametrize("asked", ["none", "a" * 500, "[x](http://y)", "effect_size", "**"])
@pytest.mark.parametrize(("file", "query"), [(TRANSFER, {}), (OVERLAP, TAX)])
def test_a_ranking_that_is_not_there_is_one_sentence(two_methods, open_page, file, query, asked) -> None:
    app = open_page(file, **query, method=asked)
    assert [e.value for e in app.error] == []
    assert len(app.warning) == 1
    assert f"there are {CAUSE}, {CHANGE}" in app.warning[0].value.replace("\\", "")
    assert re.search(r"(?<!\\)\]\(", app.warning[0].value) is None
    assert _control(app).value == "attribution"


def test_overlap_tells_what_seeds_share_by_each_ranking(two_methods, open_page) -> None:
    app = open_page(OVERLAP)
    assert [e.value for e in app.error] == []
    first = app.markdown[0].value.replace("\u00a0", " ")
    assert "**by attribution** rankings of 2 seeds share" in first
    assert "**by change score** rankings of 2 seeds share" in first
    assert "chance" in first
    assert (app.selectbox(key="a").value, app.selectbox(key="b").value) == ("cause", "cause_helpful")
    assert "share **" in _said(app)
    both = next(f.value for f in app.dataframe if "By attribution" in f.value)
    assert both["By attribution"].tolist() == ["Cause", "Cause helpful"]
    assert both["Overlap"].between(0, 1).all()


@pytest.mark.parametrize(
    ("query", "words"),
    [({}, "by attribution"), ({"method": "contrast"}, "by change score"), ({"together": "true"}, "by any method")],
)
def test_overlap_shows_a_matrix_of_each_method_or_of_all(two_methods, open_page, query, words) -> None:
    captions = [c.value for c in open_page(OVERLAP, **query).caption]
    assert [c.startswith(f"Rankings {words}.") for c in captions if "Click a cell" in c] == [True]


def test_the_tax_is_told_by_both_rankings_at_their_own_sizes(two_methods, open_page) -> None:
    said = _said(open_page(OVERLAP, **TAX))
    assert "At the " in said
    assert "not distinguishable" in said or "differ distinguishably" in said


@pytest.mark.parametrize(("file", "query"), PAGES)
def test_the_run_that_ships_opens_whatever_ranking_is_asked_for(monkeypatch, open_page, file, query) -> None:
    if not (PROJECT / "cache" / "demo" / "manifest.json").is_file():
        pytest.skip("cache/demo is not built yet")
    monkeypatch.setenv("EXPLORER_RUNS", str(PROJECT / "cache"))
    app = open_page(file, **query, method="nonsense")
    assert [e.value for e in app.error] == []
    assert len(app.warning) == 1
    assert "**By " in _said(app)


def test_methods_have_names() -> None:
    assert method_label("contrast") == CHANGE
    assert method_label("contrast and attribution") == f"{CHANGE} and {CAUSE}"
    assert method_label("some_other") == "Some other"
