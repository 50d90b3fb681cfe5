"""The Dockerfile as the trial of its steps reads it, and what is sent to who builds it."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from explorer.paths import PROJECT
from tests.image_file import argv, assignments, context_files, read_dockerfile

FILE = """# a comment
FROM one AS build
ARG INDEX=https://example.org
ENV A=1 \\
    B="$A two"
# between
RUN first \\
 && second "$INDEX"
FROM two
COPY --from=build /a /b
HEALTHCHECK --interval=3s --retries=2 \\
  CMD ["python", "-c", "1"]
"""


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_stages_steps_and_options(tmp_path):
    first, second = read_dockerfile(written(tmp_path, {"Dockerfile": FILE}) / "Dockerfile")
    assert (first.image, first.name, second.image, second.name) == ("one", "build", "two", "")
    assert [(step.word, step.line) for step in first.steps] == [("ARG", 3), ("ENV", 4), ("RUN", 7)]
    assert assignments(first.steps[1].rest, {"A": "0"}) == {"A": "1", "B": "0 two"}
    assert argv(first.steps[2].rest) == ["/bin/sh", "-c", 'first  && second "$INDEX"']
    copy, health = second.steps
    assert (copy.options, copy.rest) == ({"from": "build"}, "/a /b")
    assert health.options == {"interval": "3s", "retries": "2"}
    assert argv(health.rest.removeprefix("CMD").strip()) == ["python", "-c", "1"]


@pytest.mark.parametrize("text", ["FROM one\nADD a b\n", "RUN first\nFROM one\n"])
def test_what_the_trial_cannot_run_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match="Dockerfile, line"):
        read_dockerfile(written(tmp_path, {"Dockerfile": text}) / "Dockerfile")


def test_the_last_rule_that_names_a_file_or_its_folder_decides(tmp_path):
    files = ["a.txt", "kept/one.py", "kept/__pycache__/one.pyc", "cache/demo/run.json", "cache/mine/run.json", "no/x"]
    rules = "*\n!a.txt\n!kept\n!cache\ncache/*\n!cache/demo\n**/__pycache__\n**/*.pyc\n"
    written(tmp_path, dict.fromkeys(files, "") | {".dockerignore": rules})
    assert [str(path) for path in context_files(tmp_path)] == ["a.txt", "cache/demo/run.json", "kept/one.py"]


def test_everything_that_the_dockerfile_copies_is_sent_and_nothing_else():
    sources = copied()
    sent = context_files(PROJECT)
    for source in sources:
        assert any(path == source or source in path.parents for path in sent), source
    assert [path for path in sent if not {path, *path.parents} & sources] == []


def test_a_space_gets_what_the_dockerfile_copies():
    page = (PROJECT / "deploy" / "space" / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    command = re.search(r"git archive HEAD (.*?) \|", page)
    assert command is not None
    assert {Path(name) for name in shlex.split(command[1])} == {Path("Dockerfile"), Path(".dockerignore"), *copied()}
    types = {path.suffix for path in context_files(PROJECT)}
    tracked = re.search(r"git lfs track (.*?) &&", page)
    assert tracked is not None
    text = {".cff", ".in", ".jinja", ".json", ".jsonl", ".md", ".py", ".toml", ".txt", ".typed", ""}
    assert types - text == {name.lstrip("*") for name in shlex.split(tracked[1])}


def test_folders_in_memory_are_absolute():
    for service in yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))["services"].values():
        assert all(entry.startswith("/") for entry in service["tmpfs"])


def copied() -> set[Path]:
    """What COPY takes of the project."""
    steps = [step for stage in read_dockerfile(PROJECT / "Dockerfile") for step in stage.steps if step.word == "COPY"]
    return {Path(source) for step in steps if not step.options for source in step.rest.split()[:-1]}
