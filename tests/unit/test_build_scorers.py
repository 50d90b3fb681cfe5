"""The scorers of a build: which may be asked for, and which column of the tables each one's numbers stand in."""

import pytest

from explorer.errors import ExplorerError
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.pipeline.context import load_context
from explorer.pipeline.scorers import ROLES, score_column, scorer_columns
from explorer.runs.reader import open_run
from explorer.scoring.judge_kinds import JudgeSettings
from explorer.scoring.scorers import NAMES, describe, load_scorer
from tests import tiny
from tests.close import assert_close
from tests.tiny_build import CONFIG, write_build
from tests.tiny_judges import write_beaver, write_classifier

BEAVER, GUARD = "beaver:PKU-Alignment/beaver-7b-v1.0-cost", "guard:meta-llama/Llama-Guard-3-8B"
PLAIN = 'scorers = ["refusal"]'


def read(folder, scorers):
    (folder / "build.toml").write_text(CONFIG.replace(PLAIN, scorers))
    return read_build_config(folder / "build.toml")


@pytest.mark.parametrize(
    ("scorer", "column"),
    [
        (BEAVER, "beaver_7b_v1_0_cost"),
        (GUARD, "llama_guard_3_8b"),
        ("classifier:org/answer", "classifier_answer"),
        ("beaver:/models/Cost", "beaver_cost"),
        ("demo-cost", "demo_cost"),
    ],
)
def test_a_scorer_without_a_role_has_a_column_of_its_own(scorer, column):
    assert score_column(scorer) == column


def test_columns_are_the_roles_first_and_never_shared():
    found = scorer_columns(["refusal", "demo-cost", BEAVER, "beaver:other/beaver-7b-v1.0-cost", "demo-reward"], ROLES)
    assert found["cost"] == "demo-cost"
    assert found["reward"] == "demo-reward"
    assert (found["beaver_7b_v1_0_cost"], found["beaver_7b_v1_0_cost_2"][:12]) == (BEAVER, "beaver:other")


def test_who_fills_a_role_need_not_be_named_twice(tmp_path):
    config = read(tmp_path, f'{PLAIN}\ncost = "{BEAVER}"')
    assert config.scorers == ("refusal", BEAVER)
    assert config.scorer_columns == {"cost": BEAVER}


def test_the_shipped_scorers_are_the_usual_ones(tmp_path):
    assert read(tmp_path, "").scorers == NAMES
    assert read(tmp_path, "").scorer_columns["cost"] == "demo-cost"
    without = read(tmp_path, f'cost = "{GUARD}"')
    assert "demo-cost" not in without.scorers
    assert without.scorer_columns["cost"] == GUARD
    both = read(tmp_path, f'scorers = ["refusal", "demo-cost"]\ncost = "{GUARD}"')
    assert both.scorer_columns == {"demo_cost": "demo-cost", "cost": GUARD}


@pytest.mark.parametrize(
    ("scorers", "words"),
    [
        ('scorers = ["beaver:"]', "asks for the scorer “beaver:”"),
        ('scorers = ["taste:org/model"]', "KIND:MODEL with beaver, guard, classifier"),
        ('scorers = "refusal"', "a list of names"),
        ("scorers = [1]", "a list of names"),
        ("cost = 3", "one name each"),
        ('cost = "refusal"', "the cost is demo-cost or a judge"),
        (f'reward = "{GUARD}"', "which is a cost"),
        (f'cost = "{BEAVER}"\nreward = "{BEAVER}"', "as cost and as reward"),
        ("judges = 3", r"\[judges\] has a single value"),
    ],
)
def test_a_scorer_that_cannot_be_is_one_sentence(tmp_path, scorers, words):
    with pytest.raises(ExplorerError, match=words):
        read(tmp_path, scorers)


@pytest.mark.parametrize("name", [BEAVER, GUARD, "classifier:org/answer"])
def test_a_judge_is_described_without_being_loaded(name):
    assert name.split("/")[-1] in describe(name)


def test_judges_score_a_build(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    write_beaver(tmp_path / "judges" / "my-cost")
    write_beaver(tmp_path / "judges" / "my-reward", seed=1)
    write_classifier(tmp_path / "judges" / "any", ["safe", "unsafe"])
    scorers = 'scorers = ["refusal", "classifier:judges/any"]\ncost = "beaver:judges/my-cost"\n'
    config = CONFIG.replace(PLAIN, scorers + 'reward = "beaver:judges/my-reward"').replace("limit = 40", "limit = 8")
    config += '[judges]\ndevice = "auto"\ndtype = "float32"\nbatch_size = 3\n'
    run = open_run(build(read_build_config(write_build(tmp_path, config))))

    answers = run.table("answers")
    for column, judge in (
        ("cost", "beaver:judges/my-cost"),
        ("reward", "beaver:judges/my-reward"),
        ("classifier_any", "classifier:judges/any"),
    ):
        kind, place = judge.split(":")
        scorer = load_scorer(f"{kind}:{tmp_path / place}", judge=JudgeSettings(dtype="float32"))
        alone = scorer.score(answers["prompt"].tolist(), answers["answer"].tolist())
        assert_close(answers[column], alone, layers=tiny.LAYERS)
    for score in ("cost", "reward", "classifier_any"):
        assert {score, f"{score}_low", f"effect_{score}", f"above_random_{score}"} <= set(run.table("effect"))
    assert set(run.table("restoring")["score"]) == {"refusal", "cost", "reward", "classifier_any"}
    assert run.manifest["score_columns"] == {
        "classifier_any": "classifier:any",
        "cost": "beaver:my-cost",
        "reward": "beaver:my-reward",
    }
    assert str(tmp_path) not in str(run.manifest["scorers"])


def test_with_a_changed_scorer_the_models_write_and_read_nothing_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    file = write_build(tmp_path, CONFIG + '[first_tokens]\nsuite = "ordinary_eval"\nlimit = 20\n')
    before = open_run(build(read_build_config(file)))
    monkeypatch.setattr("explorer.pipeline.context.scorer_key", lambda name: f"another {name}")
    monkeypatch.setattr("explorer.engine.patching.sweep", lambda *_, **__: pytest.fail("a model was asked again"))
    stages: list[str] = []
    after = open_run(build(read_build_config(file), progress=lambda stage, share: stages.append(f"{stage} {share}")))
    assert "first_tokens 0.0" in stages, "its stage ran again"
    for table in ("answers", "first_tokens"):
        assert after.table(table).equals(before.table(table))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('dtype = "int4"', "auto, float32, bfloat16, float16"),
        ("batch_size = 0", "at most 4,096"),
        ("batch_size = 2.5", "whole number"),
        ("device = 0", "name or place"),
        ("threads = 2", "unknown setting “threads”"),
    ],
)
def test_settings_of_judges_are_checked(tmp_path, said, words):
    with pytest.raises(ExplorerError, match=words) as told:
        read(tmp_path, f"judges = {{ {said} }}")
    assert "[judges]" in str(told.value)


def test_only_another_type_of_judges_is_another_score(tmp_path):
    def keys(said: str) -> dict[str, str]:
        scorers = f'scorers = ["refusal"]\ncost = "{BEAVER}"\n{said}'
        config = read_build_config(write_build(tmp_path, CONFIG.replace(PLAIN, scorers)))
        return load_context(config, tmp_path, lambda *_: None).scorer_keys()

    usual = keys("")
    assert keys('judges = { device = "auto", batch_size = 99 }') == usual
    other = keys('judges = { dtype = "float32" }')
    assert other["refusal"] == usual["refusal"]
    assert other["cost"] != usual["cost"]
