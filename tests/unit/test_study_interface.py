"""What every study says of itself, and that a new one is a class and its registration: nothing else names it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import pandas as pd
import pytest

from explorer.errors import ExplorerError
from explorer.paths import PROJECT
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.report.run_findings import findings
from explorer.runs.reader import open_run
from explorer.schema import Count, Place, read_table
from explorer.studies import STUDIES
from explorer.studies.documented import RANKING
from explorer.studies.given import Build
from explorer.studies.joining import Part
from explorer.studies.study import Column, Needs, Study, Table, inputs
from tests.tiny_build import CONFIG, write_build

DEMO = PROJECT / "cache" / "demo"

SETTINGS = {
    "series": {"suite": "redteam_eval", "answers": "redteam_eval"},
    "transfer": {"sources": ["safety"], "targets": ["redteam_eval"]},
    "categories": {"found_on": "redteam_train", "tested_on": "redteam_eval", "categories": ["violence"]},
    "seeds": {"rankings": ["safety", "other"]},
    "tax": {"pairs": [["safety", "other"]], "suites": ["redteam_eval"]},
    "safeguard": {"suites": ["redteam_eval"]},
    "identification": {"rankings": ["other"], "suite": "redteam_eval"},
    "single_neurons": {"suite": "redteam_eval"},
}
"""The settings without a default, of studies that have some."""


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_a_study_says_all_of_itself(study):
    assert STUDIES[study.name] is study
    assert study.title
    assert type(study).__doc__
    assert is_dataclass(study.settings)
    assert study.settings.__dataclass_params__.frozen
    assert not fields(study.settings) or "Attributes:" in study.settings.__doc__
    asked = read_table(study.settings, SETTINGS.get(study.name, {}), study.name)
    needs = study.needs(asked)
    assert isinstance(needs, Needs)
    before = [
        table.name for other in list(STUDIES.values())[: list(STUDIES).index(study.name)] for table in other.tables
    ]
    assert set(needs.tables) <= set(before), "a study stands after those whose tables it reads"
    assert study.tables
    for table in study.tables:
        assert table.about
        assert table.columns
        assert all(column.name and column.about for column in table.columns)
        names = [name for column in table.columns for name in column.names()]
        assert len(names) == len(set(names))
        empty = {one.name: pd.DataFrame(columns=[c.name for c in one.columns]) for one in study.tables}
        assert study.finding(empty) == ""


def test_no_two_studies_share_a_name_a_title_or_a_table():
    tables = [table.name for study in STUDIES.values() for table in study.tables]
    assert len(tables) == len(set(tables))
    assert len({study.title for study in STUDIES.values()}) == len(STUDIES)


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_the_shipped_run_holds_what_is_documented_and_a_finding_of_it(study):
    run = open_run(DEMO)
    if not {table.name for table in study.tables} <= set(run.tables):
        pytest.skip("the shipped run does not hold it")
    for table in study.tables:
        columns = list(run.whole_table(table.name))
        assert table.unknown(columns) == []
        assert table.missing(columns) == []
    finding = study.finding({table.name: run.whole_table(table.name) for table in study.tables})
    assert finding.rstrip().endswith(".")
    assert "nan" not in finding.replace("finances", "")


# -- a new study: this class, and a line that registers it ------------------------------------------


@dataclass(frozen=True)
class SpreadSpec:
    """How far the scores of a ranking lie apart.

    Attributes:
        ranking: whose scores.
        neurons: so many of the first.
    """

    ranking: Place = "safety"
    neurons: Count = 10


class Spread(Study[SpreadSpec]):
    """The spread of the first scores of a ranking."""

    name, title, settings = "spread", "Spread of the first scores", SpreadSpec
    ranked = True
    tables = (
        Table("spread", "one ranking", (RANKING, Column("neurons", "of the first"), Column("spread", "of scores"))),
    )
    runs = 0

    def needs(self, asked: SpreadSpec) -> Needs:
        return Needs(rankings=(asked.ranking,))

    def part(self, build: Build, asked: SpreadSpec, number: int) -> Part:
        def run(_tell):
            type(self).runs += 1
            ranking = build.ranking(asked.ranking)
            scores = ranking.scores.reshape(-1)[ranking.order[: asked.neurons]]
            row = {"ranking": asked.ranking, "neurons": asked.neurons, "spread": float(scores.max() - scores.min())}
            return {"spread": pd.DataFrame([row])}

        return Part(inputs(build, asked, self.needs(asked)), 0.0, run)

    def finding(self, tables: Mapping[str, pd.DataFrame]) -> str:
        table = tables["spread"]
        return "" if table.empty else f"The first scores of {table['ranking'].iloc[0]} lie apart."


ASKED = '[[spread]]\nneurons = 5\n[[spread]]\nranking = "ordinary"\n'


@pytest.fixture
def known(monkeypatch, tmp_path):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    monkeypatch.setitem(STUDIES, "spread", Spread())
    monkeypatch.setattr(Spread, "runs", 0)


def test_a_new_study_is_planned_run_resumed_and_shown(known, tmp_path: Path):
    file = write_build(tmp_path, CONFIG + ASKED)
    seen: list[str] = []
    folder = build(read_build_config(file), progress=lambda stage, _share: seen.append(stage))
    run = open_run(folder)
    assert run.check() == []
    assert "spread" in seen
    assert run.table("spread")[["ranking", "neurons"]].to_numpy().tolist() == [["safety", 5], ["ordinary", 10]]
    assert Spread.runs == 2
    build(read_build_config(file))
    assert Spread.runs == 2, "what is there is not computed again"
    file.write_text(file.read_text().replace("neurons = 5", "neurons = 6"))
    build(read_build_config(file))
    assert Spread.runs == 4
    last = findings(open_run(folder))[-1]
    assert (last.title, last.sentence, last.table) == (Spread.title, "The first scores of safety lie apart.", "spread")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('ranking = "lost"', "uses the ranking “lost”, which it does not define"),
        ("neurons = 0", r"\[spread\]: neurons must be a whole number"),
        ("neuron = 5", "did you mean “neurons”"),
    ],
)
def test_what_a_new_study_is_asked_is_checked(known, tmp_path, table, words):
    with pytest.raises(ExplorerError, match=words):
        read_build_config(write_build(tmp_path, f"{CONFIG}[spread]\n{table}\n"))


def test_without_it_its_table_is_unknown(tmp_path):
    with pytest.raises(ExplorerError, match="unknown setting “spread”"):
        read_build_config(write_build(tmp_path, f"{CONFIG}[spread]\n"))
