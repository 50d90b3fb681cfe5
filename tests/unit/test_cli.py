"""The command line: a mistake is one line on standard error and exit code 2."""

import os
import subprocess
import sys

import pytest
import typer

from explorer import cli
from explorer.paths import PROJECT


def run(*args: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "explorer", *args],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, **env},
        timeout=120,
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["patch", "--prompt", "", "--fraction", "0.05"], "prompt is empty"),
        (["patch", "--prompt", "x" * 50_000], "50,000 characters"),
        (["patch", "--prompt", "hi", "--fraction", "1.5"], "0 to 1"),
        (["patch", "--prompt", "hi", "--fraction", "nan"], "0 to 1"),
        (["patch", "--prompt", "hi", "--fraction", "lots"], "valid number"),
        (["patch", "--prompt", "hi", "--max-new-tokens", "0"], "length"),
        (["patch", "--prompt", "hi", "--run", "../demo"], "cannot be the name"),
        (["patch", "--prompt", "hi", "--run", "lost"], "no run"),
        (["patch"], "--prompt"),
        (["patch", "--prompt", "hi", "--direction", "down"], "restore or break"),
        (["audit", "demo", "--direction", "down"], "restore or break"),
        (["patch", "--prompt", "hi", "--strength", "3"], "from -1 to 2"),
        (["patch", "--prompt", "hi", "--positions", "here"], "how many first tokens"),
        (["patch", "--prompt", "hi", "--temperature", "9"], "temperature must be a number from 0"),
        (["patch", "--prompt", "hi", "--temperature", "1", "--top-p", "0"], "Top-p must be"),
        (["patch", "--prompt", "hi", "--temperature", "1", "--sampling-seed", "-1"], "seed of the sampling"),
        (["patch", "--prompt", "hi", "--temperature", "1", "--samples", "17"], "from 1 to 16"),
        (["patch", "--prompt", "hi", "--samples", "4"], "Greedy answers are all the same"),
        (["rank", "--ranking", "safety", "--end", "negative"], "one end"),
        (["rank", "--ranking", "lost"], "no ranking"),
        (["rank", "--top", "0"], "greater than or equal to 1"),
        (["rank", "--colour", "red"], "No such option"),
        (["build", "lost.toml"], "no build file"),
        (["build", "configs/build/demo.toml", "--engine", "steam"], "steam"),
        (["train", "lost.toml"], "no training file"),
        (["check", "lost"], "no run"),
        (["audit", "demo", "--suite", "lost"], "no such answers"),
        (["audit", "demo", "--n", "0"], "greater than or equal to 1"),
        (["audit", "demo", "--labels", "lost.csv"], "not a readable CSV"),
        (["card"], "Missing argument"),
        (["card", "lost"], "no adapter “lost”"),
        (["card", "safety", "--limit", "0"], "greater than or equal to 1"),
        (["acceptance", "--tokens", "0"], "length"),
        (["acceptance", "--windows", "0"], "greater than or equal to 1"),
        (["acceptance", "--seed", "lost"], "no pair file “lost”"),
        (["dance"], "dance"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(args, words):
    done = run(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_one_line_and_exit_code_130(monkeypatch, capsys):
    def interrupted() -> None:
        raise KeyboardInterrupt

    app = typer.Typer()
    app.command()(interrupted)
    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["explorer"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "explorer: stopped; what was finished is kept.\n"


def test_a_card_without_the_datasets_is_one_line():
    done = run("card", "safety", EXPLORER_DATA="")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["explorer: Set EXPLORER_DATA to the folder of the datasets (see README)."]


@pytest.mark.parametrize(("ranking", "score"), [("safety", "change_score"), ("", "attribution")])
def test_rank_prints_the_shipped_run_without_torch(ranking, score):
    code = (
        f"import sys; sys.argv = ['explorer', 'rank', '--ranking', {ranking!r}, '--top', '3', '--csv']\n"
        "from explorer.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"rank,neuron,layer,index,{score},mean_m1,mean_m2")
    assert len(lines) == 4


def test_runs_and_check_know_the_shipped_run():
    assert run("runs").stdout.startswith("demo\t")
    done = run("check", "demo")
    assert (done.returncode, "all as written" in done.stdout) == (0, True)


def test_help_shows_units_and_defaults():
    done = run("patch", "--help")
    assert "0 to 1" in done.stdout
    assert "0.05" in done.stdout
    assert done.returncode == 0


def test_import_explorer_does_not_import_torch():
    code = "import sys, explorer; explorer.NeuronSet; explorer.open_run; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, timeout=60)


def test_an_audit_prints_a_sample_and_reads_the_labels_back(tmp_path):
    done = run("audit", "demo", "--suite", "redteam_eval", "--column", "aligned", "--n", "8", "--csv")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "labels.csv"
    lines = done.stdout.splitlines()
    assert lines[0].startswith("key,suite,column,set,fraction,prompt_id,prompt,answer,verdict")
    keys = [line.split(",")[0] for line in lines[1:] if len(line.split(",")[0]) == 12]
    assert len(keys) == 8
    file.write_text("key,label\n" + "".join(f"{key},refused\n" for key in keys))
    back = run("audit", "demo", "--suite", "redteam_eval", "--column", "aligned", "--n", "8", "--labels", str(file))
    assert back.stdout.count("n=8 labelled answers") == 2
