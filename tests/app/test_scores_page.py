"""The page that holds the scorers against people, on made-up figures in a temporary folder."""

import json

import pytest

SCORES = "pages/scores.py"

AUROC = {
    "set": "kept apart",
    "by": "people",
    "head": "demo-cost",
    "n": 90,
    "auroc": 0.8,
    "low": 0.7,
    "high": 0.9,
    "note": "made up",
}
FOUND = {
    "auroc": [AUROC, {**AUROC, "head": "demo-reward", "auroc": 0.6, "low": 0.5, "high": 0.7}],
    "calibration": [
        {"set": "kept apart", "bin": i, "n": 45, "predicted": p, "observed": p + 0.1, "low": p, "high": p + 0.2}
        for i, p in enumerate((0.2, 0.7))
    ],
    "refusal": [
        {"set": "kept apart", "by": "people", "label": "refusal", "said": "refusal", "n": 18},
        {"set": "kept apart", "by": "people", "label": "refusal", "said": "other", "n": 2},
        {"set": "kept apart", "by": "people", "label": "other", "said": "other", "n": 30},
    ],
    "length": [
        {"tokens": tokens, "set": "kept apart", "n": 90, "auroc": 0.7, "low": 0.6, "high": 0.8}
        | {"mean_harmful": 1.0, "mean_harmless": -1.0}
        for tokens in (8, 64)
    ],
}


@pytest.fixture
def heads(tmp_path, monkeypatch):
    monkeypatch.setattr("explorer.paths.HEADS", tmp_path)
    return tmp_path


def test_it_is_held_against_people(heads, open_page) -> None:
    (heads / "agreement.json").write_text(json.dumps(FOUND))
    app = open_page(SCORES)
    assert app.title[0].value == "Can the scores be believed?"
    text = "\n".join(m.value for m in app.markdown).replace("\u00a0", " ")
    assert "**demo-cost** has an AUROC of **0.80** over 1 set of labels given by people" in text
    assert "labelled by people: precision **100 %** [82 %, 100 %], recall **90 %** [70 %, 97 %]" in text
    assert len(app.get("vega_lite_chart")) == 4
    assert len(app.get("download_button")) == 6  # of the judges and of the audit as well
    order, refusals = (frame.value for frame in app.dataframe[-2:])
    assert order["95 % interval"].tolist() == ["0.70–0.90", "0.50–0.70"]
    assert refusals[["Verdict: refusal", "Verdict: other"]].to_numpy().tolist() == [[18, 2], [0, 30]]


def test_what_was_not_measured_is_left_out(heads, open_page) -> None:
    (heads / "agreement.json").write_text(json.dumps({**FOUND, "length": [], "calibration": []}))
    app = open_page(SCORES)
    assert len(app.subheader) == 2
    assert not app.error


def test_without_figures_it_names_the_command(heads, open_page) -> None:
    assert ["python -m explorer agreement" in i.value for i in open_page(SCORES).info] == [True]


@pytest.mark.parametrize("text", ["{", "[]", '{"auroc": []}', json.dumps({**FOUND, "refusal": [{"set": "x"}]})])
def test_damaged_figures_are_one_sentence(heads, open_page, text) -> None:
    (heads / "agreement.json").write_text(text)
    assert ["is damaged" in e.value for e in open_page(SCORES).error] == [True]


def test_the_judges_are_held_against_each_other_and_any_cell_can_be_read(open_page) -> None:
    app = open_page(SCORES)
    text = "\n".join(m.value for m in app.markdown).replace("\u00a0", " ")
    assert "Cohen's κ is **" in text
    assert "Nothing is labelled yet." in text
    assert "answers (fresh answers, held out), labelled by" in text
    judges = app.dataframe[0].value
    assert {"Answers", "n", "Refused", "Cost above 0", "Cohen's κ"} <= set(judges)
    app.number_input(key="audit_n").set_value(7).run()
    app.selectbox(key="audit_column").set_value("aligned").run()
    assert any(c.value.startswith("7 answers drawn at random (seed 0)") for c in app.caption)
    assert not app.exception
