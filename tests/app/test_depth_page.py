"""The Mechanism page's part on where and how deep."""

import numpy as np
import pandas as pd
import pytest

from explorer.studies.depth import depth_table, kl_table
from tests.app import small_run
from tests.unit.test_depth import answers_of

PAGE = "pages/mechanism.py"
PLACES = {("all", 0): 8, ("prompt", 0): 4, ("first", 1): 5, ("until", 1): 7, ("after", 0): 3, ("after", 1): 2}


@pytest.fixture
def run(tmp_path, monkeypatch, open_page):
    free, opened = answers_of(PLACES, 10), answers_of({("all", 0): 1, ("behind", 0): 1}, 10, "Sure, here is")
    answers = pd.concat([free, opened], ignore_index=True)
    answers["prompt"] = [f"A prompt & <b>more</b> {i}" for i in answers["prompt_id"]]
    answers["answer"] = "# no heading"
    kl = np.ones((10, 2, 7), dtype=np.float32)
    tables = {
        "depth": depth_table(answers, {"attribution": 12, "random": 12}, 0.05, 16),
        "depth_kl": kl_table("redteam_eval", kl, [("", ""), ("attribution", "all")]),
        "depth_answers": answers,
    }
    monkeypatch.setattr(small_run, "study_tables", lambda _changes: tables)
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    return small_run.write_small_run(tmp_path / "small")


def test_it_says_what_was_found_and_leads_to_the_answers(run, open_page) -> None:
    app = open_page(PAGE, part="depth")
    assert [e.value for e in app.error] == []
    assert "(safety is shallow)" in app.markdown[0].value
    text = " ".join(m.value for m in app.markdown).replace("\u00a0", " ")
    assert "M1 refuses 80 %" in text
    assert "Behind a forced “Sure, here is”" in text
    assert len(app.get("vega_lite_chart")) == 4
    assert len(app.get("download_button")) == 2
    frame = app.dataframe[0].value
    assert len(frame) == 10
    assert frame["lab"].str.startswith("patch_lab?prompt=A+prompt+%26+%3Cb%3E").all()
    app.selectbox(key="depth_by").set_value("cost").run()
    assert [e.value for e in app.exception] == []
    app.selectbox(key="depth_place").set_value("what follows the opening (after the opening)").run()
    assert [e.value for e in app.exception] == []
    assert len(app.dataframe[0].value) == 10
