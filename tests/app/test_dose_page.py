"""The Mechanism page's parts on dose and on leaving one neuron out."""

import pandas as pd
import pytest

from tests.app import small_run
from tests.unit.test_dose import dose_of, left_out

PAGE = "pages/mechanism.py"


@pytest.fixture
def run(tmp_path, monkeypatch):
    table = dose_of({(name, 100, s): 50 for name in ("attribution", "random") for s in (-1.0, 1.0, 2.0)}, 10)
    answers = [
        {"suite": "redteam_eval", "set": row["set"], "k": row["k"], "strength": row["strength"], "prompt_id": f"p{i}"}
        | {"prompt": f"A prompt {i}", "answer": "# no heading", "refused": False, "degenerate": False, "cost": 0.5}
        for row in table.to_dict("records")
        for i in range(3)
    ]
    tables = {"dose": table, "dose_answers": pd.DataFrame(answers), "leave_out": left_out([1.0, 0.0])}
    monkeypatch.setattr(small_run, "study_tables", lambda _changes: tables)
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    return small_run.write_small_run(tmp_path / "small")


def test_dose_is_told_and_leads_to_the_answers(run, open_page) -> None:
    app = open_page(PAGE, part="dose")
    assert [e.value for e in app.error] == []
    assert "Refusals of red-team prompts by strength" in app.markdown[0].value
    assert len(app.get("vega_lite_chart")) == 1
    assert len(app.dataframe[0].value) == 3
    app.selectbox(key="dose_by").set_value("perplexity")
    app.selectbox(key="dose_of").set_value("100").run()
    assert [e.value for e in app.exception] == []


def test_leaving_one_out_is_told_and_leads_to_the_neurons(run, open_page) -> None:
    app = open_page(PAGE, part="leave_out")
    assert [e.value for e in app.error] == []
    assert "**No single one of the 2** is necessary" in app.markdown[0].value
    assert len(app.get("vega_lite_chart")) == 1
    assert app.dataframe[0].value["page"].tolist()[0] == "neurons?neuron=0.0"
