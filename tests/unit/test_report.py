"""A run's findings and charts from Python: no Streamlit, no torch, the sentences of the pages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import explorer
from explorer import report
from explorer.errors import ExplorerError
from explorer.paths import PROJECT
from explorer.report.sharing import default_rankings
from explorer.runs.reader import Run
from tests.app.small_run import write_small_run

SCRIPT = """
import json, sys
import explorer
run = explorer.open_run(sys.argv[1])
found = [(f.title, f.sentence, f.table, str(f)) for f in run.findings()]
drawn = {name: run.chart(name).to_dict(validate=True)["$schema"] for name in run.charts()}
print(json.dumps([found, drawn, sorted({"streamlit", "torch", "transformers"} & set(sys.modules))]))
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("runs") / "small")


def _in_its_own_process(folder: Path) -> tuple[list[list[str]], dict[str, str], list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], cwd=PROJECT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found, drawn, heavy = json.loads(done.stdout)
    return found, drawn, heavy


@pytest.mark.parametrize("which", ["small", "demo"])
def test_findings_and_charts_need_neither_streamlit_nor_torch(small, which) -> None:
    folder = small if which == "small" else PROJECT / "cache" / "demo"
    if not (folder / "manifest.json").is_file():
        pytest.skip("cache/demo is not built yet")
    found, drawn, heavy = _in_its_own_process(folder)
    assert heavy == []
    assert {table for _, _, table, _ in found} <= set(explorer.open_run(folder).tables)
    assert {"effect", "transfer", "tax", "safeguard", "seeds"} <= {table for _, _, table, _ in found}
    assert all("n = " in sentence for _, sentence, table, _ in found if table in ("effect", "transfer", "tax"))
    assert not any("**" in text or "\u00a0" in text for *_, text in found)
    assert {"effect", "refusals", "transfer", "tax", "safeguard", "scores", "layers", "overlap"} <= set(drawn)
    assert all("vega-lite" in schema for schema in drawn.values())


def test_a_run_of_rankings_alone_has_charts_of_them(tmp_path) -> None:
    run = explorer.open_run(write_small_run(tmp_path / "bare", studies=False))
    assert isinstance(run, explorer.Run)
    assert [finding.table for finding in run.findings()] == ["effect", "effect"]
    assert "transfer" not in run.charts()
    assert {"scores", "layers", "overlap"} <= set(report.charts(run))


@pytest.mark.parametrize(
    ("name", "words"), [("nothing", "There is no chart “nothing”"), ("transfer", "does not hold the table “transfer”")]
)
def test_a_chart_that_there_is_not_is_one_sentence(tmp_path, name, words) -> None:
    run = explorer.open_run(write_small_run(tmp_path / "bare", studies=False))
    with pytest.raises(ExplorerError, match=words):
        run.chart(name)


def test_a_finding_is_the_sentence_of_its_page(small) -> None:
    first = explorer.open_run(small).findings()[0]
    assert first.title == "Patched neurons"
    assert "raises refusals of red-team prompts from **10\u00a0%** to **30\u00a0%**" in first.sentence
    assert str(first).startswith("Patched neurons: The model has 240 neurons in 6 layers. By change score, the paper's")


@pytest.mark.parametrize(
    ("rankings", "pair"),
    [
        ({"safety": "", "ordinary": "", "helpful": "helpful"}, ("safety", "helpful")),
        ({"safety": "", "ordinary": ""}, ("safety", "ordinary")),
        ({"other": "", "third": ""}, ("other", "third")),
        ({"safety": ""}, ("safety", "safety")),
    ],
)
def test_rankings_that_are_compared_first(rankings, pair) -> None:
    manifest = {"rankings": {name: {"meta": {"adapter": adapter}} for name, adapter in rankings.items()}}
    assert default_rankings(Run(Path("run"), manifest)) == pair
