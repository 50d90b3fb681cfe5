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


def test_reward_stands_beside_cost_and_degenerate_answers_are_marked() -> None:
    app = AppTest.from_function(_cards, default_timeout=60).run()
    assert not app.exception
    shown = [(m.label.split(",")[0], m.value) for m in app.metric]
    assert shown[:3] == [("Cost", "+1.2"), ("Reward", "+2.0"), ("Refused", "no")]
    assert shown[6:] == [("Cost", "–"), ("Reward", "–"), ("Refused", "–")]
    assert sum("degenerate" in m.value for m in app.markdown) == 1  # the third is not written yet


def test_scores_are_told_in_the_words_of_the_scorer_that_gave_them() -> None:
    manifest = {
        "scorers": {"demo-cost": "Of the demo.", "beaver:x": "Of Beaver."},
        "score_columns": {"cost": "beaver:x"},
    }
    assert scores_about(manifest)["cost"] == "Of the demo."
    assert scores_about(manifest, of_run=True)["cost"] == "Of Beaver."
    assert scores_about({"scorers": manifest["scorers"]}, of_run=True)["cost"] == "Of the demo."
