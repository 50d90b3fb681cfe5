"""Prompts of data sets that do not ship with the project: files, and the hub's by name, through `datasets`.

A data set whose columns are known (`KNOWN`) needs only its name; any other needs a column map.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.data.suites_io import CATEGORY_COLUMNS, PROMPT_COLUMNS, Prompt
from explorer.errors import ExplorerError, first_line
from explorer.paths import user_cache

if TYPE_CHECKING:
    from explorer.pipeline.specs import SuiteSpec

READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
"""File endings, and the reader of `datasets` for each."""


@dataclass(frozen=True)
class HubSet:
    """How a data set on the hub is read.

    Attributes:
        split: the split that is evaluated on.
        subset: the configuration, "" for the only one.
        prompt, category: columns, "" for none.
        files: where the hub holds loose files, those to read.
    """

    split: str
    prompt: str
    category: str = ""
    subset: str = ""
    files: str = ""


KNOWN = {
    "PKU-Alignment/BeaverTails": HubSet("30k_test", "prompt", "category"),
    "PKU-Alignment/BeaverTails-Evaluation": HubSet("test", "prompt", "category"),
    "Anthropic/hh-rlhf": HubSet("test", "chosen"),
    "walledai/HarmBench": HubSet("train", "prompt", "category", "standard"),
    "JailbreakBench/JBB-Behaviors": HubSet("harmful", "Goal", "Category", "behaviors"),
    "walledai/AdvBench": HubSet("train", "prompt"),
    "walledai/XSTest": HubSet("test", "prompt", "type"),
    "natolambert/xstest-v2-copy": HubSet("prompts", "prompt", "type"),
    "anon8231489123/ShareGPT_Vicuna_unfiltered": HubSet(
        "train", "conversations", files="ShareGPT_V3_unfiltered_cleaned_split.json"
    ),
}
"""Data sets that are read by name alone; a build file may override each setting."""


def load_source(spec: "SuiteSpec", relative_to: Path) -> list[Prompt]:
    """The prompts of a suite that a build file describes.

    Args:
        spec: what the build file says.
        relative_to: the build file.

    Raises:
        ExplorerError: the file or data set is not there, or has no such column.
    """
    from explorer.pipeline.config import fill_path

    known = KNOWN.get(spec.hub, HubSet(spec.split, "", "", spec.subset))
    if spec.hub:
        table, place = _from_hub(spec, known), spec.hub
    else:
        file = fill_path(spec.file, relative_to)
        table, place = _from_file(file), file.name
    return prompts_of(table, place, {**_columns(known), **dict(spec.columns)}, dict(spec.where))


def prompts_of(
    table: Any, place: str, columns: Mapping[str, str] | None = None, where: Mapping[str, str] | None = None
) -> list[Prompt]:
    """The prompts of a table of `datasets`.

    Args:
        table: a `datasets.Dataset`.
        place: its name, for messages.
        columns: which column is "prompt", "category", "id"; guessed where left out.
        where: only rows whose columns have these values (compared as text).

    Raises:
        ExplorerError: a column is not there, or no row is left.
    """
    names, chosen = list(table.column_names), dict(columns or {})
    for what in (*chosen.values(), *(where or {})):
        if what not in names:
            raise ExplorerError(f"{place} has no column “{what}”; it has {', '.join(names)}.")
    prompt = chosen.get("prompt") or next((c for c in (*PROMPT_COLUMNS, "chosen", "conversations") if c in names), "")
    category = chosen.get("category") or next((c for c in CATEGORY_COLUMNS if c in names), "")
    identity = chosen.get("id") or ("id" if "id" in names else "")
    if not prompt:
        raise ExplorerError(f"{place} has no column of prompts that is known; name it: columns = {{ prompt = … }}.")
    found, seen = [], set()
    for number, row in enumerate(table, start=1):
        if any(str(row[name]) != str(value) for name, value in (where or {}).items()):
            continue
        text = first_words(row[prompt])
        if not text or text in seen:  # data sets of answers repeat each prompt
            continue
        seen.add(text)
        name = str(row[identity]) if identity else str(number)
        found.append(Prompt(name, text, _category(row[category]) if category else ""))
    if not found:
        raise ExplorerError(f"{place} has no prompts left; check its columns and the setting `where`.")
    return found


def first_words(value: Any) -> str:
    """What a person says first: of a plain prompt, of a dialogue in HH-RLHF's form, or of a list of turns."""
    if isinstance(value, list):
        for turn in value:
            role = str(turn.get("from", turn.get("role", ""))) if isinstance(turn, dict) else ""
            if role in ("human", "user"):
                return str(turn.get("value", turn.get("content", ""))).strip()
        return ""
    text = str(value or "").strip()
    if text.startswith("Human:"):
        text = text.removeprefix("Human:").split("\n\nAssistant:")[0].strip()
    return text


def _category(value: Any) -> str:
    """A category as one word: where it is a map of flags (BeaverTails), the first that is set."""
    if isinstance(value, dict):
        return next((str(name) for name, flag in value.items() if flag), "")
    return str(value if value is not None else "")


def _columns(known: HubSet) -> dict[str, str]:
    return {what: name for what, name in (("prompt", known.prompt), ("category", known.category)) if name}


def _from_file(file: Path) -> Any:
    from datasets import Dataset, disable_progress_bars

    if not file.is_file():
        raise ExplorerError(f"There is no file {file} of prompts; check the build file and EXPLORER_DATA.")
    reader = READERS.get(file.suffix)
    if reader is None:
        raise ExplorerError(f"{file.name} is none of {', '.join(READERS)}; give one of these.")
    disable_progress_bars()
    try:
        return getattr(Dataset, f"from_{reader}")(str(file), cache_dir=str(user_cache() / "datasets"))
    except Exception as problem:  # each reader raises kinds of its own; each means the same to a person
        raise ExplorerError(f"{file.name} cannot be read as {reader}: {first_line(problem, 200)}") from problem


def _from_hub(spec: "SuiteSpec", known: HubSet) -> Any:
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    split, subset = spec.split or known.split, spec.subset or known.subset
    if not split:
        raise ExplorerError(f"[suites.{spec.name}] needs the split of {spec.hub}: split = “test”, for instance.")
    try:
        name, _, file = spec.hub.partition(":")  # org/name:file names one of a repository's loose files
        return load_dataset(name, subset or None, split=split, data_files=file or known.files or None)
    except Exception as problem:  # the hub raises a dozen kinds; each means the same to a person
        raise ExplorerError(f"The data set “{spec.hub}” cannot be had: {first_line(problem, 200)}") from problem
