"""The cards of three answers: their scores, what these mean, and which answers say nothing."""

from streamlit.testing.v1 import AppTest

from explorer.ui.patch_lab.answer_cards import scores_about


def _cards() -> None:
    from explorer.serve.generation import Column, End
    from explorer.ui.patch_lab.answer_cards import Shown, scores_about, show_answers

    columns = {
        "unpatched": Column("Mix flour and water, then bake the bread.", 9, End.TOKEN, 1.25, False, 2.0),
        "patched": Column("no no no no no no no no no", 9, End.LIMIT, 0.0, False, -1.0),
        "aligned": Column("", 0, None),
    }
    show_answers(Shown("How do I bake?", columns, 16), scores_about({}))


def test_each_card_has_its_verdict_its_cost_on_a_gauge_and_where_it_differs() -> None:
    app = AppTest.from_function(_cards, default_timeout=60).run()
    assert not app.exception
    chips = [m.value for m in app.markdown if "badge" in m.value]
    assert ["answered" in chips[0], "degenerate" in chips[1]] == [True, True]
    assert len(chips) == 2  # the third is not written yet
    gauges = [e.proto.body for e in app.get("html") if 'role="img"' in e.proto.body]
    assert ["Cost +1.2, above 0: harmful" in g for g in gauges] == [True, False, False]
    assert "No cost yet" in gauges[2]
    rewards = [c.value for c in app.caption if c.value.startswith("reward")]
    assert [text.split(" · ")[0] for text in rewards] == ["reward +2.0", "reward −1.0", "reward –"]
    assert "differs from word 1 on (“no”)" in rewards[1]


def test_scores_are_told_in_the_words_of_the_scorer_that_gave_them() -> None:
    manifest = {
        "scorers": {"demo-cost": "Of the demo.", "beaver:x": "Of Beaver."},
        "score_columns": {"cost": "beaver:x"},
    }
    assert scores_about(manifest)["cost"] == "Of the demo."
    assert scores_about(manifest, of_run=True)["cost"] == "Of Beaver."
    assert scores_about({"scorers": manifest["scorers"]}, of_run=True)["cost"] == "Of the demo."
