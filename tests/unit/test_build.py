"""A whole build on a tiny pair of local models: resumable, and the same tables every time."""

import subprocess
import sys

import pytest

from explorer.data.suites_io import WITHHELD, load_suite
from explorer.engine.attribution import attribute
from explorer.engine.drafts import NgramDraft
from explorer.engine.patching import generate
from explorer.errors import ExplorerError
from explorer.models.pair import load_pair
from explorer.paths import PROJECT
from explorer.pipeline import tasks
from explorer.pipeline.build import build
from explorer.pipeline.config import read_build_config
from explorer.runs.reader import open_run
from tests import tiny
from tests.close import assert_close, assert_tables_close
from tests.tiny_build import CAUSE, CONFIG, tables, write_build


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_RUNS", str(tmp_path / "cache"))
    return write_build(tmp_path)


def test_a_build_gives_a_whole_run_and_the_same_one_again(config, monkeypatch):
    told = []
    folder = build(read_build_config(config), progress=lambda stage, share: told.append((stage, share)))
    first = tables(folder)
    expected = {
        "answers",
        "effect",
        "judges",
        "models",
        "overlap",
        "place",
        "projection",
        "restoring",
        "sparsity",
        "words",
    }
    assert set(first) == expected
    run = open_run(folder)
    assert run.rankings == ["safety", "ordinary"]
    assert run.change_scores("ordinary").count == 6
    assert len(first["answers"]) == 40 * (2 + 4)
    assert first["words"].shape[0] == run.tensors("words")["m1"].shape[1]
    draft = NgramDraft.from_arrays(run.tensors("phrases"))
    assert len(draft.keys) == len(draft.tokens) > 0
    assert run.manifest["pair"]["m2"]["adapters"][0]["sha256"]
    assert {"torch", "transformers", "peft"} <= set(run.manifest["packages"])
    assert ("answers-redteam_eval", 1.0) in told
    assert run.manifest["headline"] == ""

    # Nothing has changed: no stage runs, so the models are not even loaded.
    monkeypatch.setattr("explorer.models.pair.load_pair", lambda *a, **k: pytest.fail("a stage ran again"))
    again = tables(build(read_build_config(config)))
    monkeypatch.undo()

    # From scratch, and with one stage deleted: the same tables.
    monkeypatch.setenv("EXPLORER_RUNS", str(config.parent / "cache"))
    (config.parent / "cache" / ".build-tiny" / "stages" / "ranking-safety.json").unlink()
    patched = tables(build(read_build_config(config)))
    scratch = tables(build(read_build_config(config), resume=False))
    for other in (again, patched, scratch):
        for name, table in first.items():
            assert_tables_close(other[name], table, tiny.LAYERS)


def test_a_ranking_by_attribution_restores_and_breaks(config):
    added = f"""{CAUSE}end = "absolute"
[[answers]]
suite = "redteam_eval"
ranking = "cause"
limit = 4
fractions = [0.1, 1.0]
direction = "break"
[[answers]]
suite = "ordinary_eval"
ranking = "cause"
limit = 4
fractions = [0.1]
strength = 0.5
positions = "prompt"
"""
    config.write_text(CONFIG.replace("[detail]", added + "[detail]"))
    folder = build(read_build_config(config))
    run, pair = open_run(folder), load_pair(config.parent / "pair.toml", dtype="float32")
    assert run.check() == []
    prompts = [p.prompt for p in load_suite("redteam_eval", 20)]
    cause, expected = run.ranking("cause"), attribute(pair, prompts, 3, (0.0, 0.5))
    assert_close(cause.scores, expected.scores, layers=tiny.LAYERS)
    assert (cause.end, cause.steps, cause.kind) == ("absolute", (0.0, 0.5), "attribution")
    with pytest.raises(ExplorerError, match="no change scores"):
        run.change_scores("cause")
    broken, restored = run.table("answers_break"), run.table("answers")
    whole = broken[broken["fraction"] == 1.0]
    assert (broken["column"] == "unpatched").sum() == len(whole) == 4
    assert whole["answer"].tolist() == broken[broken["column"] == "aligned"]["answer"].tolist()
    half = restored[(restored["suite"] == "ordinary_eval") & (restored["column"] == "patched")]
    asked = [p.prompt for p in load_suite("ordinary_eval", 4)]
    out = generate(pair, asked, cause.top(fraction=0.1), 6, strength=0.5, positions="prompt")
    assert half["answer"].tolist() == [answer.text for answer in out.patched]
    first = restored[(restored["suite"] == "redteam_eval") & (restored["column"] == "aligned")]["answer"].tolist()[:4]
    assert broken[broken["column"] == "unpatched"]["answer"].tolist() == first
    assert set(run.table("effect_break")["suite"]) == {"redteam_eval"}
    assert "cause" in set(run.table("sparsity")["ranking"])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('method = "attribution"\nsteps = 0', r"rankings\.safety.*steps must be"),
        ('method = "attribution"\nobjective = "m1"', r"rankings\.safety.*objective"),
        ('method = "attribution"\nend = "top"', r"end must be one of positive"),
    ],
)
def test_a_wrong_attribution_is_named_with_its_table(config, table, words):
    config.write_text(CONFIG.replace("[rankings.safety]", f"[rankings.safety]\n{table}", 1))
    with pytest.raises(ExplorerError, match=words):
        read_build_config(config)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('direction = "forwards"', r"answers\]\] 1: direction must be one of restore, break"),
        ("strength = 3.0", r"answers\]\] 1: strength must be a number from -1 to 2"),
        ('positions = "here"', r"answers\]\] 1: positions must be one of all"),
    ],
)
def test_answers_of_a_wrong_kind_are_named(config, setting, words):
    config.write_text(CONFIG.replace("limit = 40", f"limit = 40\n{setting}"))
    with pytest.raises(ExplorerError, match=words):
        read_build_config(config)


def test_the_command_line_builds_on_two_different_checkpoints(config):
    tiny.model("llama", seed=5).save_pretrained(config.parent / "tuned")
    tiny.tokenizer().save_pretrained(config.parent / "tuned")
    (config.parent / "pair.toml").write_text('[m1]\nbase = "base"\n[m2]\nbase = "tuned"\n')
    command = [sys.executable, "-m", "explorer", "build", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=280)
    assert done.returncode == 0, done.stderr
    run = open_run(config.parent / "cache" / "tiny")
    assert run.check() == []
    assert run.manifest["pair"]["shared"] is False
    assert run.manifest["pair"]["m1"]["digest"] != run.manifest["pair"]["m2"]["digest"]
    assert len(run.table("answers")) == 40 * (2 + 4)


def test_an_interrupted_build_shows_nothing_and_goes_on(config, monkeypatch):
    calls = []
    original = tasks.answer

    def dies_at_the_second_chunk(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(tasks, "answer", dies_at_the_second_chunk)
    with pytest.raises(KeyboardInterrupt):
        build(read_build_config(config))
    target = config.parent / "cache" / "tiny"
    assert not target.exists()
    build(read_build_config(config))
    assert len(calls) == 4  # three chunks of 16; the first was kept, the second was lost
    assert len(tables(target)["answers"]) == 240


def test_prompts_of_other_data_sets_are_named_not_held(config):
    (config.parent / "own.csv").write_text("prompt,category\nA secret question,a\nAnother secret,b\n")
    suites = '[suites.own]\nfile = "own.csv"\n[rankings.safety]'
    config.write_text(CONFIG.replace('"redteam_eval"', '"own"').replace("[rankings.safety]", suites, 1))
    answers = tables(build(read_build_config(config)))["answers"]
    assert answers["prompt"].unique().tolist() == [f"(own, prompt {i}: {WITHHELD})" for i in (1, 2)]
    config.write_text(config.read_text().replace('file = "own.csv"', 'file = "own.csv"\npublish = true'))
    answers = tables(build(read_build_config(config)))["answers"]
    assert answers["prompt"].unique().tolist() == ["A secret question", "Another secret"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('suite = "redteam_eval"', 'suite = "lost"', "no prompt suite"),
        ('name = "tiny"', 'name = "../tiny"', "cannot be the name"),
        ("limit = 40", 'limit = 40\nranking = "lost"', "does not define"),
        ("limit = 40", "limits = 40", "unknown setting"),
        ('dtype = "float32"', 'dtype = "int3"', "dtype"),
        ('scorers = ["refusal"]', 'scorers = ["taste"]', "taste"),
        (
            'name = "tiny"',
            'name = "tiny"\nheadline = "ordinary_eval"',
            "no answers are patched; name one of redteam_eval",
        ),
        ("neurons = 10", "neurons = ", "not a readable TOML"),
    ],
)
def test_a_wrong_build_file_is_one_sentence(config, old, new, words):
    config.write_text(CONFIG.replace(old, new))
    with pytest.raises(ExplorerError, match=words):
        build(read_build_config(config))
