"""Pages of a run of several rankings and both directions, and of one that was built before there were any."""

from pathlib import Path

import pytest

from explorer.paths import PROJECT
from explorer.report import fewest
from explorer.report.ranking_names import default_fraction, ranking_title
from explorer.runs.reader import open_run
from tests.app.two_rankings import write_two_rankings

OVERVIEW, CAUSAL, FEWEST, SCORES = (f"pages/{n}.py" for n in ("overview", "causal_effect", "fewest", "scores"))


@pytest.fixture(scope="module")
def two_run(tmp_path_factory) -> Path:
    return write_two_rankings(tmp_path_factory.mktemp("two") / "two")


@pytest.fixture
def two(two_run, monkeypatch) -> Path:
    monkeypatch.setenv("EXPLORER_RUNS", str(two_run.parent))
    return two_run


def _text(app) -> str:
    return "\n".join(m.value for m in app.markdown).replace("\u00a0", " ")


def _said(app) -> list[str]:
    return [w.value for w in app.warning]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (
            {},
            [
                "by attribution, the top **1 %** of the neurons restore **100 %** of the gap in refusals",
                "in cost (95 %",
            ],
        ),
        (
            {"ranking": "safety"},
            ["by change score, the paper's ranking, the top **5 %** of the neurons restore **9 %**"],
        ),
        ({"ranking": "Change score (paper)", "patched": "20%"}, ["the top **20 %** of the neurons restore **59 %**"]),
        (
            {"direction": "break"},
            ["by attribution, the top **1 %** of the neurons break **100 %**", "is broken by **", "they break"],
        ),
        (
            {"direction": "break", "ranking": "safety", "patched": "5%"},
            ["the paper's ranking, the top **5 %** of the neurons break"],
        ),
    ],
)
def test_the_causal_effect_names_its_ranking(two, open_page, query, says) -> None:
    app = open_page(CAUSAL, **query)
    assert not app.error
    assert _said(app) == []
    for part in says:
        assert part in _text(app)
    assert app.title[0].value == f"How few neurons {query.get('direction', 'restore')} safety?"
    assert len(app.get("vega_lite_chart")) >= 2
    frame = app.dataframe[0].value
    ranking = "safety" if "ranking" in query else "attribution"
    assert frame["lab"].str.contains(f"ranking={ranking}").all()
    assert frame["lab"].str.contains("direction=break").all() == ("direction" in query)


def test_breaking_columns_say_which_model_is_which(two, open_page) -> None:
    frame = open_page(CAUSAL, direction="break").dataframe[0].value
    assert frame["refused M2"].mean() == pytest.approx(0.9)
    assert frame["refused M1"].mean() == pytest.approx(0.1)
    assert "patched M2 answers" in frame


@pytest.mark.parametrize("page", [CAUSAL, FEWEST])
def test_what_an_address_does_not_mean_is_said(two, open_page, page) -> None:
    app = open_page(page, direction="sideways", ranking="<b>none</b>", score="x", prompts="y")
    assert not app.error
    said = _said(app)
    assert any("“sideways”" in s and "Restore (M2's activations into M1)" in s for s in said)
    assert any("none" in s for s in said) == (page == CAUSAL)


def test_a_ranking_that_is_not_offered_the_other_way_is_forgotten(two, open_page) -> None:
    app = open_page(CAUSAL, ranking="safety")
    app.selectbox(key="direction").set_value("break").run()
    assert not app.exception
    assert app.selectbox(key="ranking").value == "safety"
    assert "of the neurons break" in _text(app)


@pytest.mark.parametrize("direction", ["restore", "break"])
@pytest.mark.parametrize("score", ["refusal", "cost"])
def test_the_fewest_are_named_by_both_judges(two, open_page, direction, score) -> None:
    app = open_page(FEWEST, direction=direction, score=score)
    assert not app.error
    first = app.markdown[0].value.replace("\u00a0", " ")
    does = {"restore": "restores", "break": "breaks"}[direction]
    assert f"On red-team prompts the ranking “Attribution” {does} 90 % of the gap" in first
    for part in ("95 % interval", "n = 40, up to 16 tokens", "random neurons of the same layers: more than 100 %"):
        assert part in first
    assert "“Change score (paper)”: " in first
    assert "Both judges name the same ranking: by refusals “Attribution”" in first
    assert len(app.get("vega_lite_chart")) == 1
    assert len(app.get("download_button")) == 2
    rows = app.dataframe[0].value
    assert set(rows["Ranking"]) == {"Attribution", "Change score (paper)", "Random neurons of the same layers"}
    assert set(rows["Judge"]) == {"refusals", "cost"}
    links = rows["lab"].dropna()
    assert len(links)
    assert links.str.startswith("patch_lab?ranking=").all()
    assert links.str.contains("direction=break").all() == (direction == "break")


def test_judges_that_part_are_told_apart(two_run) -> None:
    table = open_run(two_run).table("fewest")
    cost = (table["score"] == "cost") & (table["ranking"] == "attribution")
    parted = table.assign(fraction=table["fraction"].mask(cost, float("inf")))
    words = fewest.judges_words(parted, "redteam_eval", "restore").replace("\u00a0", " ")
    assert words.startswith("**The two judges disagree**: by refusals “attribution” with ")
    assert "by cost “safety” with " in words
    alone = fewest.judges_words(table[table["score"] == "refusal"], "redteam_eval", "restore")
    assert "rests on refusals alone" in alone
    none = table.assign(fraction=float("inf"))
    assert "Both judges" in fewest.judges_words(none, "redteam_eval", "restore")


def test_the_overview_tells_the_main_ranking_the_papers_and_the_other_way(two, open_page) -> None:
    app = open_page(OVERVIEW)
    assert not app.error
    first = " ".join(m.value for m in app.markdown).replace("\u00a0", " ")  # the rest is in an expander
    for part in (
        "By attribution, patching M2's activations into the **24** top-ranked ones (1 %) raises refusals",
        "from **10 %** to **90 %**",
        "On red-team prompts, by attribution, the top **1 %** of the neurons restore **100 %**",
        "By change score, the paper's ranking, **5 %** restore **9 %** of the gap in refusals",
        "M1's activations in the top **1 %** take M2's refusals from **90 %** to **10 %**",
        "(with random neurons to 90 %)",
        "and so break **100 %** of the gap in refusals",
    ):
        assert part in first
    app.select_slider(key="share").set_value(0.2).run()
    assert any("the top **20 %**" in m.value.replace("\u00a0", " ") for m in app.markdown)


def test_any_cell_can_be_read(two, open_page) -> None:
    app = open_page(SCORES)
    app.selectbox(key="audit_direction").set_value("break").run()
    app.selectbox(key="audit_column").set_value("patched").run()
    app.selectbox(key="audit_ranking").set_value("safety").run()
    app.selectbox(key="audit_fraction").set_value(0.05).run()
    assert any(c.value.startswith("40 answers drawn at random") for c in app.caption)
    assert app.selectbox(key="audit_column").options == ["M2, unpatched", "M2, patched", "M1"]
    app.selectbox(key="judges_direction").set_value("break").run()
    app.selectbox(key="judges_ranking").set_value("safety").run()
    assert not app.exception
    assert app.dataframe[0].value["Answers"].tolist()[:2] == ["M2, unpatched", "M1"]


def test_a_run_of_one_ranking_says_that_it_is_the_papers(runs, open_page) -> None:
    app = open_page(CAUSAL)
    assert "by change score, the paper's ranking, the top **5 %** of the neurons restore" in _text(app)
    assert app.selectbox(key="ranking").options == ["Change score (paper)"]
    assert ["does not hold a comparison of rankings" in i.value for i in open_page(FEWEST).info] == [True]


@pytest.mark.parametrize("page", [OVERVIEW, CAUSAL, FEWEST, SCORES])
def test_the_run_that_ships_is_named_by_its_ranking(monkeypatch, open_page, page) -> None:
    monkeypatch.setenv("EXPLORER_RUNS", str(PROJECT / "cache"))
    app = open_page(page)
    assert not app.error
    assert len(app.title) == 1


def test_rankings_are_named_by_what_they_rank_by() -> None:
    rankings = {
        "safety": {},
        "safety_prompt": {"meta": {}},
        "attribution": {"meta": {"method": "attribution"}},
        "attribution_helpful": {"meta": {"method": "attribution"}},
        "effect_size": {"meta": {"method": "effect_size"}},
        "prompt_difference_m2": {"meta": {"method": "prompt_difference"}},
        "strange": {"meta": {"method": "new_way"}},
    }
    titles = {name: ranking_title(name, rankings) for name in (*rankings, "random", "activation_variance")}
    assert titles == {
        "safety": "Change score (paper)",
        "safety_prompt": "Change score: Safety, whole prompt",
        "attribution": "Attribution",
        "attribution_helpful": "Attribution: Helpfulness",
        "effect_size": "Effect size (Cohen's d)",
        "prompt_difference_m2": "Prompt difference, M2",
        "strange": "New way: Strange",
        "random": "Random neurons of the same layers",
        "activation_variance": "Activation variance",
    }
    assert default_fraction("attribution", rankings) == 0.01
    assert default_fraction("safety", rankings) == 0.05
