"""A Dockerfile and its .dockerignore, as far as this project uses them: tests/image_steps.py runs what is read here.

stages = read_dockerfile(PROJECT / "Dockerfile")
sent = context_files(PROJECT)
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

WORDS = ("ARG", "CMD", "COPY", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "USER", "WORKDIR")


@dataclass(frozen=True)
class Step:
    """An instruction.

    Attributes:
        word: in capitals.
        rest: what follows, its options taken off, its lines joined.
        options: of `--name=value`.
        line: where it begins, from 1.
    """

    word: str
    rest: str
    options: Mapping[str, str] = field(default_factory=dict)
    line: int = 0

    def __str__(self) -> str:
        return f"line {self.line}: {self.word} {self.rest}"


@dataclass(frozen=True)
class Stage:
    """The steps from a FROM to the next.

    Attributes:
        image: what it begins with.
        name: after AS, or "".
    """

    image: str
    name: str
    steps: tuple[Step, ...]


def read_dockerfile(file: Path) -> tuple[Stage, ...]:
    """The stages of a Dockerfile.

    Raises:
        ValueError: an instruction is not one of `WORDS`, or comes before the first FROM.
    """
    stages: list[Stage] = []
    for step in _steps(file.read_text(encoding="utf-8").splitlines()):
        if step.word not in WORDS:
            raise ValueError(f"{file.name}, {step}: not known here; add it to tests/image_steps.py.")
        if step.word == "FROM":
            image, *named = step.rest.split()
            stages.append(Stage(image, named[1] if named else "", ()))
        elif not stages:
            raise ValueError(f"{file.name}, {step}: it stands before the first FROM.")
        else:
            last = stages[-1]
            stages[-1] = Stage(last.image, last.name, (*last.steps, step))
    return tuple(stages)


def _steps(lines: list[str]) -> list[Step]:
    found, text, began = [], "", 0
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("#") or (not line.strip() and not text):
            continue
        began = began if text else number
        text += line.removesuffix("\\")
        if not line.endswith("\\"):
            word, _, rest = text.strip().partition(" ")
            options = {}
            while match := re.match(r"\s*--([a-z-]+)=(\S+)\s*", rest):
                options[match[1]] = match[2]
                rest = rest[match.end() :]
            found.append(Step(word.upper(), rest.strip(), options, began))
            text = ""
    return found


def argv(text: str) -> list[str]:
    """A command in either form: a JSON list, or a line for the shell."""
    return json.loads(text) if text.startswith("[") else ["/bin/sh", "-c", text]


def assignments(text: str, known: Mapping[str, str]) -> dict[str, str]:
    """What an ENV or ARG sets, `$NAME` of what is known replaced."""
    pairs = (part.partition("=") for part in shlex.split(text))
    return {name: Template(value).safe_substitute(known) for name, _, value in pairs}


def context_files(folder: Path) -> list[Path]:
    """The files of a folder that its .dockerignore lets through, relative to it: what `docker build` may copy."""
    rules = [line.strip() for line in (folder / ".dockerignore").read_text(encoding="utf-8").splitlines()]
    compiled = [(rule.startswith("!"), _pattern(rule.lstrip("!"))) for rule in rules if rule and rule[0] != "#"]
    kept_tops = {rule[1:].strip("/").split("/")[0] for rule in rules if rule.startswith("!")}
    found = []
    for top in sorted(folder.iterdir()):
        if top.name in kept_tops or _passes(Path(top.name), compiled):
            for path in [top] if top.is_file() else sorted(top.rglob("*")):
                own = path.relative_to(folder)
                if path.is_file() and _passes(own, compiled):
                    found.append(own)
    return found


def _passes(path: Path, rules: list[tuple[bool, re.Pattern[str]]]) -> bool:
    """Whether the last rule that names a file, or a folder it lies in, lets it through."""
    names = [str(path), *map(str, path.parents)]
    passes = True
    for lets_through, pattern in rules:
        if any(pattern.fullmatch(name) for name in names):
            passes = lets_through
    return passes


def _pattern(rule: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", rule.strip("/"))
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts))
