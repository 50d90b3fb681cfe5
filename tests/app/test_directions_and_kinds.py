"""The Mechanism page's parts on the refusal direction and on kinds of neurons, over a tiny build."""

from pathlib import Path

import pytest

from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.report.run_charts import chart, charts
from explorer.runs.reader import open_run
from tests.tiny_build import CONFIG, write_build
from tests.unit.test_kinds import STUDY as KINDS
from tests.unit.test_refusal_direction import STUDY as DIRECTION

PAGE = "pages/mechanism.py"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A run with both studies; not to be changed."""
    folder = tmp_path_factory.mktemp("directions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPLORER_RUNS", str(folder / "cache"))
        return build(read_build_config(write_build(folder, CONFIG + DIRECTION + KINDS)))


@pytest.fixture(autouse=True)
def _shown(built, monkeypatch) -> None:
    monkeypatch.setenv("EXPLORER_RUNS", str(built.parent))


def test_the_direction_leads_to_answers(open_page) -> None:
    app = open_page(PAGE, part="refusal_direction")
    assert [e.value for e in app.error] == []
    assert any("M2 itself goes from" in m.value for m in app.markdown)
    assert len(app.get("vega_lite_chart")) == 3
    assert len(app.get("download_button")) == 4
    frame = app.dataframe[0].value
    assert len(frame) == 4
    assert frame["lab"].str.startswith("patch_lab?prompt=").all()
    app.selectbox(key="direction_of").set_value("m1").run()
    app.selectbox(key="direction_patched").set_value("m2").run()
    assert [e.value for e in app.exception] == []
    assert {"nothing projected out", "the refusal direction"} <= set(app.dataframe[0].value)


def test_kinds_lead_to_neurons_and_prompts(open_page) -> None:
    app = open_page(PAGE, part="kinds")
    assert [e.value for e in app.error] == []
    assert "silhouette" in app.markdown[1].value
    assert len(app.get("vega_lite_chart")) == 3
    assert len(app.get("download_button")) == 4
    tokens, neurons, prompts = (frame.value for frame in app.dataframe)
    assert len(tokens) == 8
    assert neurons["look"].str.startswith("neurons?neuron=").all()
    assert prompts["lab"].str.startswith("patch_lab?prompt=").all()
    app.selectbox(key="kind").set_value("2").run()
    assert [e.value for e in app.exception] == []
    assert any(s.value.startswith("Kind 2") for s in app.header)
    assert [e.value for e in open_page(PAGE, part="kinds", kind="0").error] == []


@pytest.mark.parametrize("name", ["refusal_direction", "kinds"])
def test_a_notebook_draws_them(built, name) -> None:
    run = open_run(built)
    assert name in charts(run)
    assert chart(run, name).to_dict()["layer"]
