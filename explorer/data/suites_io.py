"""Prompt suites: those that ship with the project (all own writing), and a user's own files.

for prompt in load_suite("redteam_eval"):
    print(prompt.prompt, prompt.category)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ExplorerError
from explorer.paths import SUITES

PROMPT_COLUMNS = ("prompt", "prompts_final", "Behavior", "question", "instruction")
CATEGORY_COLUMNS = ("category", "SemanticCategory", "harm_area", "type")

WITHHELD = "its text stays with its data set"
"""Stands in a run in place of a prompt that is not ours to publish."""


@dataclass(frozen=True)
class Prompt:
    """A prompt of a suite: its name within the suite, the text, and a category ("" where there is none)."""

    id: str
    prompt: str
    category: str = ""


@dataclass(frozen=True)
class Refusal:
    """A refusal to train on, and the harm categories it fits ("any" for all)."""

    text: str
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Preset:
    """A prompt offered in the Patch lab."""

    label: str
    prompt: str
    kind: str


def suite_names() -> list[str]:
    """The prompt suites that ship with the project."""
    return sorted(path.stem for path in SUITES.glob("*_*.jsonl"))


def load_suite(name: str, limit: int | None = None) -> list[Prompt]:
    """The prompts of a shipped suite, or of a JSONL file of the user's.

    Args:
        name: a name of `suite_names`, or a path ending in .jsonl with one object a line; the prompt is
            read from the first column of `PROMPT_COLUMNS` that is there, or is what a person says
            first in a preference dialogue of HH-RLHF's form.
        limit: read only the first so many.

    Raises:
        ExplorerError: there is no such suite, or a line cannot be read.
    """
    path = SUITES / f"{name}.jsonl" if name in suite_names() else Path(name)
    if path.suffix != ".jsonl" or not path.is_file():
        raise ExplorerError(
            f"There is no prompt suite “{name}”; give the path of a .jsonl file or one of: {', '.join(suite_names())}."
        )
    rows = read_jsonl(path)
    return [_prompt(row, number, path) for number, row in enumerate(rows[:limit], start=1)]


def training_part(prompts: Sequence[Prompt], hold_out: int) -> list[Prompt]:
    """The prompts without every `hold_out`-th one, that is without `held_out_part`; all of them for 0."""
    return [p for number, p in enumerate(prompts, start=1) if not hold_out or number % hold_out]


def held_out_part(prompts: Sequence[Prompt], hold_out: int) -> list[Prompt]:
    """Every `hold_out`-th prompt, which a training that says so leaves out; all of them for 0."""
    return list(prompts[hold_out - 1 :: hold_out]) if hold_out else list(prompts)


def load_refusals() -> list[Refusal]:
    """The refusals that the safety adapter is trained on."""
    return [Refusal(row["text"], tuple(row["categories"])) for row in read_jsonl(SUITES / "refusals.jsonl")]


def load_presets() -> list[Preset]:
    """The prompts offered in the Patch lab."""
    return [Preset(row["label"], row["prompt"], row["kind"]) for row in read_jsonl(SUITES / "presets.jsonl")]


def _prompt(row: dict, number: int, path: Path) -> Prompt:
    if isinstance(row.get("chosen"), str) and row["chosen"].lstrip().startswith("Human:"):
        row = {**row, "prompt": _first_turn(row["chosen"])}
    column = next((c for c in PROMPT_COLUMNS if isinstance(row.get(c), str) and row[c].strip()), None)
    if column is None:
        raise ExplorerError(
            f"{path}, line {number}, has no prompt; name the column one of {', '.join(PROMPT_COLUMNS)}."
        )
    category = next((str(row[c]) for c in CATEGORY_COLUMNS if row.get(c)), "")
    return Prompt(str(row.get("id", number)), row[column], category)


def _first_turn(dialogue: str) -> str:
    """The first thing a person says in a dialogue of HH-RLHF's form."""
    return dialogue.lstrip().removeprefix("Human:").split("\n\nAssistant:")[0].strip()


def read_jsonl(path: Path) -> list[dict]:
    """The objects of a JSONL file; blank lines are passed over.

    Raises:
        ExplorerError: a line is not a JSON object.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as problem:
            raise ExplorerError(f"{path}, line {number}, is not JSON; write one object a line.") from problem
        if not isinstance(row, dict):
            raise ExplorerError(f"{path}, line {number}, is not a JSON object; write one object a line.")
        rows.append(row)
    return rows
