"""Prompt suites: those that ship with the project (all own writing), and a user's own files.

for prompt in load_suite("redteam_eval"):
    print(prompt.prompt, prompt.category)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from explorer.data.columns import (
    CATEGORY_COLUMNS,
    PROMPT_COLUMNS,
    category_in,
    columns_of,
    find_column,
    name_of,
    prompt_in,
)
from explorer.data.rows import ENDINGS, Row, ending_of, read_rows
from explorer.errors import ExplorerError
from explorer.files import is_file
from explorer.paths import SUITES

MAX_SUITE_PROMPT = 100_000
"""Characters of a prompt in a file. Models are asked shorter ones (`models.prompting`); a training can skip some."""

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
    """The prompts of a shipped suite, or of a file of the user's.

    Args:
        name: a name of `suite_names`, or a path with one of `rows.ENDINGS`; the prompt is read from the first column
            of `PROMPT_COLUMNS` that holds one, see `columns.prompt_in`.
        limit: read only the first so many.

    Raises:
        ExplorerError: there is no such suite, or a row cannot be read.
    """
    path = SUITES / f"{name}.jsonl" if name in suite_names() else Path(name)
    if ending_of(path) not in ENDINGS or not is_file(path):
        raise ExplorerError(
            f"There is no prompt suite “{name}”; give the path of a file ({', '.join(ENDINGS)}) or one of: "
            f"{', '.join(suite_names())}."
        )
    taken: set[str] = set()
    rows = islice(read_rows(path, "prompt suite"), limit)
    prompts = [_prompt(row, number, path, taken) for number, row in enumerate(rows, start=1)]
    if not prompts and limit != 0:
        raise ExplorerError(f"{path} holds no prompts; write one row for each.")
    return prompts


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


def _prompt(row: Row, number: int, path: Path, taken: set[str]) -> Prompt:
    texts = (prompt_in(row.cells, column) for column in columns_of(row.cells, PROMPT_COLUMNS))
    text = next(filter(None, texts), None)
    if text is None:
        raise ExplorerError(f"{path}, {row.place}, has no prompt; name the column one of {', '.join(PROMPT_COLUMNS)}.")
    check_length(text, f"{path}, {row.place},")
    kinds = (category_in(row.cells[column]) for column in columns_of(row.cells, CATEGORY_COLUMNS))
    category = next(filter(None, kinds), "")
    return Prompt(name_of(row.cells.get(find_column(row.cells, "id") or ""), number, taken), text, category)


def check_length(prompt: str, place: str) -> None:
    """Raises:
    ExplorerError: a prompt of a file, which stands at this place of it, is longer than any prompt.
    """
    if len(prompt) > MAX_SUITE_PROMPT:
        raise ExplorerError(
            f"{place} has a prompt of {len(prompt):,} characters; shorten it to {MAX_SUITE_PROMPT:,} or leave it out."
        )


def read_jsonl(path: Path) -> list[dict]:
    """The objects of a JSONL file; blank lines are passed over.

    Raises:
        ExplorerError: it is missing, or a line is not a JSON object.
    """
    return [row.cells for row in read_rows(path, "file")]
