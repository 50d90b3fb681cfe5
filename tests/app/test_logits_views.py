"""The Mechanism page's parts on first tokens, direct logit attribution, and the logit lens."""

import numpy as np
import pytest

from explorer.studies.first_tokens import tokens_table
from tests.app import small_run
from tests.unit.small_logits import attribution_tables, lens_tables

PAGE = "pages/mechanism.py"


@pytest.fixture
def run(tmp_path, monkeypatch, open_page):
    tokens = tokens_table("redteam_train", np.array([7] * 9 + [8]), np.array([4] * 9 + [8]), ["I", " A", "1"])
    tables = {"first_tokens": tokens} | attribution_tables() | lens_tables()
    monkeypatch.setattr(small_run, "study_tables", lambda _changes: tables)
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path))
    return small_run.write_small_run(tmp_path / "small")


def test_direct_attribution_leads_to_neurons_and_prompts(run, open_page) -> None:
    app = open_page(PAGE, part="logit_attribution")
    assert [e.value for e in app.error] == []
    assert "write **80\u00a0%** of that" in app.markdown[0].value
    assert len(app.get("vega_lite_chart")) == 3
    assert len(app.get("download_button")) == 4
    neurons, prompts = (frame.value for frame in app.dataframe)
    assert neurons["link"].tolist() == ["neurons?neuron=2.5", "neurons?neuron=2.7"]
    assert prompts["lab"].str.startswith("patch_lab?prompt=A+prompt+%26+%3Cb%3E").all()
    assert prompts["lab"].str.contains("ranking=attribution&fraction=0.05").all()
    app.selectbox(key="logit_set").set_value("m2").run()
    assert [e.value for e in app.exception] == []
    assert len(app.dataframe) == 1


def test_the_lens_shows_a_prompt_token_by_token(run, open_page) -> None:
    app = open_page(PAGE, part="logit_lens")
    assert [e.value for e in app.error] == []
    assert "from layer **1** on" in app.markdown[0].value
    assert len(app.get("vega_lite_chart")) == 2
    assert any("patch_lab?prompt=A+prompt+%26+more" in m.value for m in app.markdown)
    app.selectbox(key="lens_measure").set_value("margin").run()
    app.selectbox(key="lens_model").set_value("m2").run()
    assert [e.value for e in app.exception] == []


def test_the_tokens_of_the_margin_are_listed(run, open_page) -> None:
    app = open_page(PAGE, part="first_tokens")
    assert app.dataframe[0].value["side"].tolist() == ["refusal", "compliance"]
    assert "M2 rather begins its answers with" in app.markdown[0].value
